//! Which cluster: the kubeconfig, its contexts, and the one that was chosen.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use kube::config::{ExecInteractiveMode, KubeConfigOptions, Kubeconfig};
use serde::Serialize;

pub use error::{ConnectError, KubeconfigError};

use crate::api::{self, Access, ApiError};

mod error;
mod load;

/// How long one TCP and TLS connection to the API server may take.
pub const CONNECT_PATIENCE: Duration = Duration::from_secs(10);

/// How long a credential plugin may take; a person may have to log in by a browser.
pub const PLUGIN_PATIENCE: Duration = Duration::from_secs(120);

/// Where to look for kubeconfig files.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// A file that the user named; nothing else is read then.
    pub file: Option<PathBuf>,
    /// The value of `KUBECONFIG`: files separated by colons, merged, the first word on a name winning.
    pub variable: Option<OsString>,
    /// The home folder, for `.kube/config`.
    pub home: Option<PathBuf>,
}

impl Sources {
    /// The environment's sources, with the file that the user named, if any.
    pub fn from_environment(file: Option<PathBuf>) -> Self {
        Self {
            file,
            variable: std::env::var_os("KUBECONFIG"),
            home: std::env::var_os("HOME").map(PathBuf::from),
        }
    }
}

/// What the user chose; `None` means what the kubeconfig says.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    /// The context's name.
    pub context: Option<String>,
    /// The namespace to be in.
    pub namespace: Option<String>,
    /// Whether a credential plugin may use the terminal. Without it, a plugin's standard error is kept for the
    /// error message, and one that insists on a terminal fails with a reason.
    pub terminal: bool,
}

/// One chosen cluster and namespace.
#[derive(Debug, Clone)]
pub struct Target {
    /// Everything that a client needs: address, credentials, authority, proxy.
    pub config: kube::Config,
    /// The context's name.
    pub context: String,
    /// The namespace: the user's, else the context's, else `default`.
    pub namespace: String,
    /// The cluster's name in the kubeconfig.
    pub cluster: String,
    /// The API server's address.
    pub server: String,
}

/// One context of a kubeconfig, for lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Context {
    /// The context's name.
    pub name: String,
    /// The cluster's name in the kubeconfig.
    pub cluster: String,
    /// The API server's address; `None` where the kubeconfig has none for that cluster.
    pub server: Option<String>,
    /// The namespace that the context sets.
    pub namespace: Option<String>,
    /// Whether it is the one used when none is named.
    pub current: bool,
}

/// What the API server says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServerVersion {
    /// Kubernetes' version: `v1.34.4`.
    pub version: String,
    /// The platform that the API server runs on: `linux/amd64`.
    pub platform: String,
}

/// Reads the kubeconfig and picks a context from it. No request is made and no plugin is run.
///
/// # Errors
/// [`KubeconfigError`] names the file, the place in it or the names that exist.
pub async fn choose(sources: &Sources, choice: &Choice) -> Result<Target, KubeconfigError> {
    let kubeconfig = load::load(sources)?;
    target(kubeconfig, choice).await
}

/// Lists the contexts of a kubeconfig in the order of the files.
///
/// # Errors
/// [`KubeconfigError`] where no file can be read or parsed.
pub fn contexts(sources: &Sources) -> Result<Vec<Context>, KubeconfigError> {
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
    /// Builds an ordinary client; runs the credential plugin if there is one.
    ///
    /// # Errors
    /// [`ConnectError`] with the plugin's words, or with the file that cannot be read.
    pub async fn client(&self) -> Result<kube::Client, ConnectError> {
        let config = self.config.clone();
        // The library runs plugins with blocking calls.
        let build = tokio::task::spawn_blocking(move || kube::Client::try_from(config));
        let built = match tokio::time::timeout(PLUGIN_PATIENCE, build).await {
            Ok(Ok(built)) => built,
            Ok(Err(broken)) => {
                return Err(self.failed(ApiError::Broken {
                    detail: broken.to_string(),
                }));
            }
            Err(_elapsed) => {
                let detail = format!("it did not finish within {} s", PLUGIN_PATIENCE.as_secs());
                return Err(self.failed(ApiError::Plugin {
                    plugin: self.plugin(),
                    detail,
                }));
            }
        };
        built.map_err(|error| self.failed(api::classify(version_access(), error)))
    }

    /// Asks the API server for its version: the cheapest question that shows whether network, certificates and
    /// credentials are right.
    ///
    /// # Errors
    /// [`ConnectError`] with the address that was asked.
    pub async fn probe(&self, client: &kube::Client) -> Result<ServerVersion, ConnectError> {
        match api::ask(version_access(), client.apiserver_version()).await {
            Ok(info) => Ok(ServerVersion {
                version: info.git_version,
                platform: info.platform,
            }),
            Err(cause) => Err(self.failed(cause)),
        }
    }

    /// Says of a failed request which cluster it went to.
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
