//! One request to the API server, bounded, and what can be wrong with its answer.

use std::fmt;
use std::future::Future;
use std::time::Duration;

pub use slipway_control_api::list::Access;
use slipway_problem::Fault;
use thiserror::Error;

mod classify;
#[cfg(test)]
pub(crate) mod script;

/// How long one ordinary request may take before it counts as unanswered.
pub const REQUEST_PATIENCE: Duration = Duration::from_secs(15);

/// What is wrong with the certificate that the API server showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateProblem {
    /// No authority that the kubeconfig trusts has signed it.
    UnknownIssuer,
    /// It is for other names or addresses than the one in the kubeconfig.
    WrongName,
    /// Its time is over, or the laptop's clock is wrong.
    Expired,
    /// Its time has not begun, or the laptop's clock is wrong.
    NotYetValid,
    /// It is unusable in another way.
    Invalid,
}

impl fmt::Display for CertificateProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownIssuer => "it is signed by an authority that the kubeconfig does not name",
            Self::WrongName => "it is for another name or address",
            Self::Expired => "it has expired",
            Self::NotYetValid => "it is not valid yet",
            Self::Invalid => "it is not usable",
        })
    }
}

/// Why a request to the API server gave nothing that can be used.
#[derive(Debug, Error)]
pub enum ApiError {
    /// The API server's name does not resolve.
    #[error("the API server's name does not resolve: {detail}")]
    Resolve {
        /// The resolver's words.
        detail: String,
    },
    /// No TCP connection came about.
    #[error("no connection to the API server: {detail}")]
    Connect {
        /// The kernel's words.
        detail: String,
    },
    /// Neither an answer nor a refusal within the time that this request may take.
    #[error("the API server did not answer within {} s", waited.as_secs())]
    Timeout {
        /// How long was waited.
        waited: Duration,
    },
    /// The API server's certificate is not accepted.
    #[error("the API server's certificate is not accepted: {problem}")]
    Certificate {
        /// What is wrong with it.
        problem: CertificateProblem,
        /// The TLS library's words.
        detail: String,
    },
    /// The TLS handshake failed for a reason other than the server's certificate.
    #[error("no TLS connection to the API server: {detail}")]
    Tls {
        /// The TLS library's words.
        detail: String,
    },
    /// The proxy on the way to the API server refused or is of an unknown kind.
    #[error("the proxy on the way to the API server does not work: {detail}")]
    Proxy {
        /// What was wrong.
        detail: String,
    },
    /// The credentials are expired, revoked or not of this cluster (HTTP 401, or a TLS alert).
    #[error("the API server does not accept these credentials: {detail}")]
    Credentials {
        /// The server's words.
        detail: String,
    },
    /// The program that should fetch credentials cannot be run, or failed.
    #[error("the credential plugin {plugin} failed: {detail}")]
    Plugin {
        /// The program, as the kubeconfig names it.
        plugin: String,
        /// Its standard error, or why it did not start.
        detail: String,
    },
    /// The user may not do this (RBAC or another authorizer).
    #[error("you may not {access}")]
    Forbidden {
        /// What was asked.
        access: Access,
        /// The server's words.
        message: String,
    },
    /// The object, or its namespace, is not there.
    #[error("not found: {message}")]
    NotFound {
        /// The server's words.
        message: String,
    },
    /// The API server understood and refused: admission, quota, a conflict, an invalid field, or trouble of its own.
    #[error("the API server refused ({status} {reason}): {message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The machine-readable reason; may be empty.
        reason: String,
        /// The server's words.
        message: String,
    },
    /// The connection broke, or the answer is not what the Kubernetes API promises.
    #[error("the connection to the API server broke: {detail}")]
    Broken {
        /// What was seen.
        detail: String,
    },
}

impl Fault for ApiError {
    fn code(&self) -> &str {
        match self {
            Self::Resolve { .. } => "api-name-unknown",
            Self::Connect { .. } => "api-unreachable",
            Self::Timeout { .. } => "api-timeout",
            Self::Certificate { .. } => "api-certificate",
            Self::Tls { .. } => "api-tls",
            Self::Proxy { .. } => "api-proxy",
            Self::Credentials { .. } => "credentials-refused",
            Self::Plugin { .. } => "credential-plugin",
            Self::Forbidden { .. } => "forbidden",
            Self::NotFound { .. } => "not-found",
            Self::Refused { .. } => "api-refused",
            Self::Broken { .. } => "api-broken",
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::Resolve { .. } => {
                "Check the server name in the kubeconfig, and whether its network or VPN is connected.".to_owned()
            }
            Self::Connect { .. } | Self::Timeout { .. } => {
                "Check that the cluster runs and that its network or VPN is connected.".to_owned()
            }
            Self::Certificate { problem, .. } => match problem {
                CertificateProblem::UnknownIssuer | CertificateProblem::WrongName | CertificateProblem::Invalid => {
                    "Fetch a new kubeconfig for this cluster; its address or its authority has changed, or something \
                     on the way replaces certificates."
                        .to_owned()
                }
                CertificateProblem::Expired | CertificateProblem::NotYetValid => {
                    "Check this computer's clock; if it is right, the cluster's certificates must be renewed.".to_owned()
                }
            },
            Self::Tls { .. } => "Check that the address in the kubeconfig is an API server's https port.".to_owned(),
            Self::Proxy { .. } => "Check proxy-url in the kubeconfig, and HTTPS_PROXY and NO_PROXY.".to_owned(),
            Self::Credentials { .. } => "Log in to the cluster again, or fetch a new kubeconfig.".to_owned(),
            Self::Plugin { plugin, .. } => {
                format!("Run {plugin} in a terminal: it may want a new login, or not be installed.")
            }
            Self::Forbidden { access, .. } => format!("Ask the cluster's administrator for: {access}."),
            Self::NotFound { .. } => "Check the namespace and the names in the profile.".to_owned(),
            Self::Refused { .. } => "The message above is the cluster's own; its administrator knows the rule.".to_owned(),
            Self::Broken { .. } => "Try again; if it stays, something between here and the API server interferes.".to_owned(),
        }
    }
}

impl ApiError {
    /// Whether the same request may succeed later without anybody changing anything: the network was away, or the
    /// API server was busy.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Resolve { .. } | Self::Connect { .. } | Self::Timeout { .. } | Self::Broken { .. } => true,
            Self::Refused { status, .. } => matches!(status, 408 | 410 | 429 | 500..=599),
            Self::Certificate { .. }
            | Self::Tls { .. }
            | Self::Proxy { .. }
            | Self::Credentials { .. }
            | Self::Plugin { .. }
            | Self::Forbidden { .. }
            | Self::NotFound { .. } => false,
        }
    }
}

/// Runs one request for at most [`REQUEST_PATIENCE`]. `access` is what it needs, to be named when it is refused.
pub(crate) async fn ask<T>(
    access: Access,
    request: impl Future<Output = kube::Result<T>>,
) -> Result<T, ApiError> {
    ask_within(REQUEST_PATIENCE, access, request).await
}

/// [`ask`] with a bound of the caller's.
pub(crate) async fn ask_within<T>(
    patience: Duration,
    access: Access,
    request: impl Future<Output = kube::Result<T>>,
) -> Result<T, ApiError> {
    match tokio::time::timeout(patience, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(classify::classify(access, error)),
        Err(_elapsed) => Err(ApiError::Timeout { waited: patience }),
    }
}

pub(crate) use classify::classify;
