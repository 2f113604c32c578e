//! Kubeconfig: its contexts, and the choice of a cluster.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use kube::config::{ExecInteractiveMode, KubeConfigOptions, Kubeconfig};
use serde::Serialize;
pub use slipway_control_api::list::ContextInfo;

pub use error::{ConnectError, KubeconfigError};

use crate::api::{self, Access, ApiError};

mod error;
mod load;

/// Limit of one TCP and TLS connection to the API server.
pub const CONNECT_PATIENCE: Duration = Duration::from_secs(10);

/// Limit of a credential plugin; a user may have to log in with a browser.
pub const PLUGIN_PATIENCE: Duration = Duration::from_secs(120);

/// Places of kubeconfig files.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// A file that the user named; no other file is read then.
    pub file: Option<PathBuf>,
    /// The value of `KUBECONFIG`: files separated by colons. They are merged, and the first definition of a name counts.
    pub variable: Option<OsString>,
    /// The home folder, for `.kube/config`.
    pub home: Option<PathBuf>,
}

impl Sources {
    /// Returns the places that the environment names, with the file that the user named, if any.
    pub fn from_environment(file: Option<PathBuf>) -> Self {
        Self {
            file,
            variable: std::env::var_os("KUBECONFIG"),
            home: std::env::var_os("HOME").map(PathBuf::from),
        }
    }
}

/// Choice of the user. For `None`, the kubeconfig decides.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    /// Name of the context.
    pub context: Option<String>,
    /// Namespace of the session.
    pub namespace: Option<String>,
    /// Whether a credential plugin may use the terminal. Without it, a plugin's standard error goes into the error
    /// message, and a plugin that needs a terminal fails with a reason.
    pub terminal: bool,
}

/// Chosen cluster and namespace.
#[derive(Debug, Clone)]
pub struct Target {
    /// Configuration of a client: address, credentials, authority, proxy.
    pub config: kube::Config,
    /// Name of the context.
    pub context: String,
    /// Namespace: the user's, else the context's, else `default`.
    pub namespace: String,
    /// Name of the cluster in the kubeconfig.
    pub cluster: String,
    /// Address of the API server.
    pub server: String,
}

/// Version of an API server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServerVersion {
    /// Version of Kubernetes, such as `v1.34.4`.
    pub version: String,
    /// Platform of the API server, such as `linux/amd64`.
    pub platform: String,
}

/// Reads the kubeconfig and picks a context from it. Sends no request and runs no plugin.
///
/// # Errors
/// Returns [`KubeconfigError`] with the file, the position in it, or the names that exist.
pub async fn choose(sources: &Sources, choice: &Choice) -> Result<Target, KubeconfigError> {
    let kubeconfig = load::load(sources)?;
    target(kubeconfig, choice).await
}

/// Lists the contexts of a kubeconfig in the order of the files.
///
/// # Errors
/// Returns [`KubeconfigError`] if no file can be read or parsed.
pub fn contexts(sources: &Sources) -> Result<Vec<ContextInfo>, KubeconfigError> {
    Ok(load::contexts(&load::load(sources)?))
}

async fn target(kubeconfig: Kubeconfig, choice: &Choice) -> Result<Target, KubeconfigError> {
    let (context, cluster) = load::pick(&kubeconfig, choice.context.as_deref())?;
    let options = KubeConfigOptions {
        context: Some(context.clone()),
        ..KubeConfigOptions::default()
    };
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .map_err(|error| KubeconfigError::of_context(&context, error))?;
    config.connect_timeout = Some(CONNECT_PATIENCE);
    if let Some(plugin) = config.auth_info.exec.as_mut().filter(|_| !choice.terminal) {
        if plugin.interactive_mode == Some(ExecInteractiveMode::Always) {
            let plugin = plugin.command.clone().unwrap_or_default();
            return Err(KubeconfigError::PluginNeedsTerminal { context, plugin });
        }
        plugin.interactive_mode = Some(ExecInteractiveMode::Never);
    }
    let namespace = choice
        .namespace
        .clone()
        .unwrap_or_else(|| config.default_namespace.clone());
    config.default_namespace.clone_from(&namespace);
    let server = config.cluster_url.to_string();
    Ok(Target {
        config,
        context,
        namespace,
        cluster,
        server,
    })
}

impl Target {
    /// Builds an ordinary client, and runs the credential plugin if there is one.
    ///
    /// # Errors
    /// Returns [`ConnectError`] with the plugin's message, or with the file that cannot be read.
    pub async fn client(&self) -> Result<kube::Client, ConnectError> {
        self.client_by(kube::Client::try_from).await
    }

    /// Builds a client like [`Target::client`], with `build` applied to the configuration.
    ///
    /// # Errors
    /// Returns the errors of [`Target::client`].
    pub async fn client_by(
        &self,
        build: impl FnOnce(kube::Config) -> kube::Result<kube::Client> + Send + 'static,
    ) -> Result<kube::Client, ConnectError> {
        let config = self.config.clone();
        // The library runs plugins with blocking calls.
        let build = tokio::task::spawn_blocking(move || build(config));
        let built = match tokio::time::timeout(PLUGIN_PATIENCE, build).await {
            Ok(Ok(built)) => built,
            Ok(Err(broken)) => {
                return Err(self.failed(ApiError::Broken {
                    detail: broken.to_string(),
                }));
            }
            Err(_) => {
                let detail = format!("it did not finish within {} s", PLUGIN_PATIENCE.as_secs());
                return Err(self.failed(ApiError::Plugin {
                    plugin: self.plugin(),
                    detail,
                }));
            }
        };
        built.map_err(|error| self.failed(api::classify(version_access(), error)))
    }

    /// Requests the API server's version: the cheapest request that shows whether network, certificates and credentials
    /// work.
    ///
    /// # Errors
    /// Returns [`ConnectError`] with the API server's address.
    pub async fn probe(&self, client: &kube::Client) -> Result<ServerVersion, ConnectError> {
        match api::ask(version_access(), client.apiserver_version()).await {
            Ok(info) => Ok(ServerVersion {
                version: info.git_version,
                platform: info.platform,
            }),
            Err(cause) => Err(self.failed(cause)),
        }
    }

    /// Adds to a failed request the cluster that it was sent to.
    pub fn failed(&self, cause: ApiError) -> ConnectError {
        let cause = if let ApiError::Plugin { detail, .. } = cause {
            ApiError::Plugin {
                plugin: self.plugin(),
                detail,
            }
        } else {
            cause
        };
        ConnectError {
            server: self.server.clone(),
            context: self.context.clone(),
            cause,
        }
    }

    fn plugin(&self) -> String {
        let exec = self
            .config
            .auth_info
            .exec
            .as_ref()
            .and_then(|exec| exec.command.clone());
        let provider = || {
            self.config
                .auth_info
                .auth_provider
                .as_ref()
                .map(|provider| provider.name.clone())
        };
        exec.or_else(provider)
            .unwrap_or_else(|| "of this context".to_owned())
    }
}

fn version_access() -> Access {
    Access::cluster("get", "", "/version")
}

#[cfg(test)]
mod tests;
