//! Requests to the API server with a time limit, and their errors.

use std::fmt;
use std::future::Future;
use std::time::Duration;

pub use slipway_control_api::list::Access;
use slipway_problem::{Action, Fault, Problem};
use thiserror::Error;

mod classify;

/// Limit of one ordinary request.
pub const REQUEST_PATIENCE: Duration = Duration::from_secs(15);

/// Reason for which the API server's certificate is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateProblem {
    /// No authority that the kubeconfig trusts has signed it.
    UnknownIssuer,
    /// No authority that the profile trusts has signed it, where the profile names the server.
    UnknownToProfile,
    /// It is for names or addresses other than the one in the kubeconfig.
    WrongName,
    /// It has expired, or the laptop's clock is wrong.
    Expired,
    /// It is not valid yet, or the laptop's clock is wrong.
    NotYetValid,
    /// It is invalid for another reason.
    Invalid,
}

impl fmt::Display for CertificateProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownIssuer => "it is signed by an authority that the kubeconfig does not name",
            Self::UnknownToProfile => "it is signed by an authority that the profile does not name",
            Self::WrongName => "it is for another name or address",
            Self::Expired => "it has expired",
            Self::NotYetValid => "it is not valid yet",
            Self::Invalid => "it is invalid",
        })
    }
}

/// Reason for which a request to the API server failed.
#[derive(Debug, Error)]
pub enum ApiError {
    /// The API server's name does not resolve.
    #[error("the API server's name does not resolve: {detail}")]
    Resolve {
        /// Message of the resolver.
        detail: String,
    },
    /// The TCP connection failed, or the API server did not answer while it was made.
    #[error("the API server cannot be reached: {detail}")]
    Connect {
        /// Message of the kernel.
        detail: String,
    },
    /// The API server did not answer within the limit of this request.
    #[error("the API server did not answer within {} s", waited.as_secs())]
    Timeout {
        /// Length of the wait.
        waited: Duration,
    },
    /// The API server's certificate is not accepted.
    #[error("the API server's certificate is not accepted: {problem}")]
    Certificate {
        /// Reason.
        problem: CertificateProblem,
        /// Message of the TLS library.
        detail: String,
    },
    /// The TLS handshake failed for a reason other than the server's certificate.
    #[error("the TLS connection to the API server failed: {detail}")]
    Tls {
        /// Message of the TLS library.
        detail: String,
    },
    /// The proxy in front of the API server cannot be reached, refused the connection, or did not answer.
    #[error("the proxy in front of the API server does not work: {detail}")]
    Proxy {
        /// Description of the failure.
        detail: String,
    },
    /// The credentials have expired, are revoked or belong to another cluster (HTTP 401, or a TLS alert), or cannot be
    /// read.
    #[error("the login to the API server failed: {detail}")]
    Credentials {
        /// What the API server answered, or why there are no credentials.
        detail: String,
        /// The credential plugin that they came from, if any.
        plugin: Option<String>,
    },
    /// The credential plugin cannot be started, or failed.
    #[error("the credential plugin {plugin} failed: {detail}")]
    Plugin {
        /// The program, as the kubeconfig names it.
        plugin: String,
        /// Its standard error, or the reason why it did not start.
        detail: String,
        /// How to install it, as the kubeconfig says, if it is not there; for an unsupported kind of login, what to use
        /// in its place.
        install_hint: Option<String>,
    },
    /// The token cannot be read from its source outside the kubeconfig.
    #[error("there is no token for the API server. {}", .0.cause)]
    Secret(Problem),
    /// The user lacks a permission (RBAC or another authorizer).
    #[error("you may not {access}")]
    Forbidden {
        /// Permission that the request needs.
        access: Access,
        /// Message of the API server.
        message: String,
    },
    /// The object or its namespace does not exist.
    #[error("the API server found no such object: {message}")]
    NotFound {
        /// Message of the API server.
        message: String,
    },
    /// The API server refused the request: admission, quota, a conflict, an invalid field, or an internal error.
    #[error("the API server refused the request ({status} {reason}): {message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// Machine-readable reason; may be empty.
        reason: String,
        /// Message of the API server.
        message: String,
    },
    /// The connection broke, or the answer is not a valid answer of the Kubernetes API.
    #[error("the connection to the API server broke: {detail}")]
    Broken {
        /// Description of the failure.
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
            Self::Secret(problem) => &problem.code,
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
                CertificateProblem::UnknownIssuer
                | CertificateProblem::UnknownToProfile
                | CertificateProblem::WrongName
                | CertificateProblem::Invalid => {
                    "Fetch a new kubeconfig for this cluster; its address or its authority has changed, or a proxy \
                     replaces certificates."
                        .to_owned()
                }
                CertificateProblem::Expired | CertificateProblem::NotYetValid => {
                    "Check this computer's clock; if it is right, the cluster's certificates must be renewed.".to_owned()
                }
            },
            Self::Tls { .. } => "Check that the address in the kubeconfig is an API server's https port.".to_owned(),
            Self::Proxy { .. } => "Check proxy-url in the kubeconfig, and HTTPS_PROXY and NO_PROXY.".to_owned(),
            Self::Credentials {
                plugin: Some(plugin), ..
            } => format!("Log in to the cluster again with {plugin}."),
            Self::Credentials { plugin: None, .. } => {
                "Log in to the cluster again, or fetch a new kubeconfig.".to_owned()
            }
            Self::Plugin {
                install_hint: Some(hint),
                ..
            } => hint.clone(),
            Self::Plugin { plugin, .. } => {
                format!(
                    "Run the credential plugin {plugin} in a terminal: it may need a new login, or may not be installed."
                )
            }
            Self::Secret(problem) => problem.remedy.clone(),
            Self::Forbidden { access, .. } => {
                format!("Ask the cluster's administrator for the permission to {access}.")
            }
            Self::NotFound { .. } => "Check the namespace and the names in the profile.".to_owned(),
            Self::Refused { .. } => "Ask the cluster's administrator about this message of the cluster.".to_owned(),
            Self::Broken { .. } => "Try again; if the error remains, check proxies and firewalls up to the API server.".to_owned(),
        }
    }

    fn actions(&self) -> Vec<Action> {
        if let Self::Secret(problem) = self {
            return problem.actions.clone();
        }
        Vec::new()
    }
}

impl ApiError {
    /// Returns the remedy where the API server is named by the profile, and not by a kubeconfig.
    pub(crate) fn remedy_of_named(&self) -> String {
        let text = match self {
            Self::Resolve { .. } => {
                "Check the server name in the profile, and whether its network or VPN is connected."
            }
            Self::Certificate {
                problem:
                    CertificateProblem::UnknownIssuer
                    | CertificateProblem::UnknownToProfile
                    | CertificateProblem::WrongName
                    | CertificateProblem::Invalid,
                ..
            } => {
                "Check server, certificate-authority and tls-server-name in the profile; the cluster's address or its \
                 authority may have changed, or a proxy replaces certificates."
            }
            Self::Tls { .. } => "Check that the server in the profile is an API server's https port.",
            Self::Proxy { .. } => "Check HTTPS_PROXY and NO_PROXY.",
            Self::Credentials { .. } => {
                "Get a new token for the cluster, and store it where the profile's `token` says: in the keyring with \
                 `slipway profiles secret set PROFILE token`."
            }
            Self::Connect { .. }
            | Self::Timeout { .. }
            | Self::Certificate { .. }
            | Self::Plugin { .. }
            | Self::Secret(_)
            | Self::Forbidden { .. }
            | Self::NotFound { .. }
            | Self::Refused { .. }
            | Self::Broken { .. } => return self.remedy(),
        };
        text.to_owned()
    }

    /// Returns whether the same request may succeed later without any change: the network was down, or the API server was
    /// busy.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Resolve { .. }
            | Self::Connect { .. }
            | Self::Timeout { .. }
            | Self::Proxy { .. }
            | Self::Broken { .. } => true,
            Self::Refused { status, .. } => matches!(status, 408 | 410 | 429 | 500..=599),
            Self::Certificate { .. }
            | Self::Tls { .. }
            | Self::Credentials { .. }
            | Self::Plugin { .. }
            | Self::Secret(_)
            | Self::Forbidden { .. }
            | Self::NotFound { .. } => false,
        }
    }

    /// Returns whether the same request may succeed after a new login.
    pub fn is_of_login(&self) -> bool {
        matches!(
            self,
            Self::Credentials { .. } | Self::Plugin { .. } | Self::Secret(_)
        )
    }
}

/// Runs one request for at most [`REQUEST_PATIENCE`]. `access` is the permission that it needs, for the error.
pub async fn ask<T>(access: Access, request: impl Future<Output = kube::Result<T>>) -> Result<T, ApiError> {
    ask_within(REQUEST_PATIENCE, access, request).await
}

/// Runs one request like [`ask`], with the caller's limit.
pub async fn ask_within<T>(
    patience: Duration,
    access: Access,
    request: impl Future<Output = kube::Result<T>>,
) -> Result<T, ApiError> {
    match tokio::time::timeout(patience, request).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(classify::classify(access, error)),
        Err(_) => Err(ApiError::Timeout { waited: patience }),
    }
}

pub use classify::classify;
