//! A chosen cluster and namespace.

use std::sync::Arc;

use slipway_control_api::list::Access;
use slipway_problem::{Action, Fault};
use thiserror::Error;

use crate::client::{self, Server};
use crate::host::host_of;
use crate::login::{Login, LoginError};
use crate::proxy::Proxy;
use crate::request::{self, ApiError, CertificateProblem};

/// A cluster and namespace, and the login to it.
#[derive(Debug, Clone)]
pub struct Target {
    /// Name of the context.
    pub context: String,
    /// Namespace: the user's, else the context's, else `default`.
    pub namespace: String,
    /// Name of the cluster in the kubeconfig.
    pub cluster: String,
    /// Address of the API server.
    pub server: String,
    /// Whether the profile names the server, and not a kubeconfig.
    pub(crate) is_named: bool,
    pub(crate) api: Arc<Server>,
    pub(crate) login: Arc<Login>,
}

/// Version of an API server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerVersion {
    /// Version of Kubernetes, such as `v1.34.4`.
    pub version: String,
    /// Platform of the API server, such as `linux/amd64`.
    pub platform: String,
}

/// Reason for which a cluster cannot be used.
#[derive(Debug, Error)]
#[error("{server} ({}): {cause}", named_by(*is_named, context))]
pub struct ConnectError {
    /// Address of the API server.
    pub server: String,
    /// Context that names the address.
    pub context: String,
    /// Whether the profile names the server, and not a kubeconfig.
    pub is_named: bool,
    /// Error of the request.
    #[source]
    pub cause: ApiError,
}

/// Says where the address of the API server stands.
fn named_by(is_named: bool, context: &str) -> String {
    match is_named {
        true => "named by the profile".to_owned(),
        false => format!("context {context:?}"),
    }
}

impl Fault for ConnectError {
    fn code(&self) -> &str {
        self.cause.code()
    }

    fn remedy(&self) -> String {
        match self.is_named {
            true => self.cause.remedy_of_named(),
            false => self.cause.remedy(),
        }
    }

    fn actions(&self) -> Vec<Action> {
        self.cause.actions()
    }
}

impl Target {
    /// Returns the API server's host.
    pub fn server_host(&self) -> Option<String> {
        host_of(self.api.url.authority()?)
    }

    /// Returns the host of the proxy in front of the API server.
    pub fn proxy_host(&self) -> Option<String> {
        host_of(self.proxy()?.url.authority()?)
    }

    /// Returns the proxy in front of the API server.
    pub fn proxy(&self) -> Option<&Proxy> {
        self.api.proxy.as_ref()
    }

    /// Returns the login that all clients of this target share.
    pub fn login(&self) -> &Arc<Login> {
        &self.login
    }

    /// Logs in, which may run the credential plugin, and builds a client. All clients share the login.
    ///
    /// # Errors
    /// Returns [`ConnectError`] with the plugin's message, or with the file that cannot be read.
    pub async fn client(&self) -> Result<kube::Client, ConnectError> {
        self.login
            .ready()
            .await
            .map_err(|error| self.failed(error.into()))?;
        client::build(self.api.clone(), self.login.clone(), &self.namespace)
            .map_err(|error| self.failed(request::classify(version_access(), error)))
    }

    /// Requests the API server's version: the cheapest request that shows whether network, certificates and credentials
    /// work.
    ///
    /// # Errors
    /// Returns [`ConnectError`] with the API server's address.
    pub async fn probe(&self, client: &kube::Client) -> Result<ServerVersion, ConnectError> {
        match request::ask(version_access(), client.apiserver_version()).await {
            Ok(info) => Ok(ServerVersion {
                version: info.git_version,
                platform: info.platform,
            }),
            Err(cause) => Err(self.failed(cause)),
        }
    }

    /// Adds to a failed request the cluster that it was sent to, and the proxy if that failed or was used in vain. The words
    /// are those of a profile where it names the server.
    pub fn failed(&self, cause: ApiError) -> ConnectError {
        let cause = match (cause, self.proxy()) {
            (ApiError::Proxy { detail }, Some(proxy)) => ApiError::Proxy {
                detail: format!("{proxy}: {detail}"),
            },
            (ApiError::Resolve { detail }, Some(proxy)) => ApiError::Proxy {
                detail: format!("{proxy} cannot be reached: {detail}"),
            },
            // A proxy that cannot be reached is an error of the proxy before it gets here.
            (ApiError::Connect { detail }, Some(proxy)) => ApiError::Connect {
                detail: format!("{detail}, through the proxy {proxy}"),
            },
            (ApiError::Certificate { problem, detail }, _)
                if self.is_named && problem == CertificateProblem::UnknownIssuer =>
            {
                ApiError::Certificate {
                    problem: CertificateProblem::UnknownToProfile,
                    detail,
                }
            }
            (cause, _) => cause,
        };
        ConnectError {
            server: self.server.clone(),
            context: self.context.clone(),
            is_named: self.is_named,
            cause,
        }
    }
}

fn version_access() -> Access {
    Access::cluster("get", "", "/version")
}

impl From<LoginError> for ApiError {
    fn from(error: LoginError) -> Self {
        let detail = error.to_string();
        match error {
            LoginError::Refused { plugin, .. } => Self::Credentials { detail, plugin },
            LoginError::TokenFile { .. } | LoginError::Ended => Self::Credentials { detail, plugin: None },
            LoginError::Secret(problem) => Self::Secret(problem),
            LoginError::Plugin {
                plugin, install_hint, ..
            } => Self::Plugin {
                plugin,
                detail,
                install_hint,
            },
        }
    }
}
