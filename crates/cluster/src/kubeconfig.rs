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
mod tests {
    use std::path::Path;

    use slipway_problem::Fault;

    use super::*;

    const TWO: &str = "
apiVersion: v1
kind: Config
current-context: staging
clusters:
- {name: one, cluster: {server: 'https://10.0.0.1:6443'}}
- {name: two, cluster: {server: 'http://127.0.0.1:1'}}
users:
- {name: dev, user: {token: sesame}}
contexts:
- {name: staging, context: {cluster: one, user: dev, namespace: shop}}
- {name: production, context: {cluster: two, user: dev}}
- {name: lost, context: {cluster: gone, user: dev}}
";

    fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    async fn chosen(text: &str, choice: &Choice) -> Result<Target, KubeconfigError> {
        let folder = tempfile::tempdir().unwrap();
        let file = write(folder.path(), "config", text);
        choose(
            &Sources {
                file: Some(file),
                ..Sources::default()
            },
            choice,
        )
        .await
    }

    fn context(name: &str) -> Choice {
        Choice {
            context: Some(name.to_owned()),
            ..Choice::default()
        }
    }

    #[tokio::test]
    async fn the_current_context_and_its_namespace_are_the_default() {
        let target = chosen(TWO, &Choice::default()).await.unwrap();
        assert_eq!(
            (&*target.context, &*target.cluster, &*target.namespace),
            ("staging", "one", "shop")
        );
        assert_eq!(target.server, "https://10.0.0.1:6443/");
        assert_eq!(target.config.default_namespace, "shop");
    }

    #[tokio::test]
    async fn the_users_context_and_namespace_win() {
        let choice = Choice {
            namespace: Some("blog".to_owned()),
            ..context("production")
        };
        let target = chosen(TWO, &choice).await.unwrap();
        assert_eq!(
            (&*target.context, &*target.namespace, &*target.server),
            ("production", "blog", "http://127.0.0.1:1/")
        );
        let target = chosen(TWO, &context("production")).await.unwrap();
        assert_eq!(target.namespace, "default");
    }

    #[tokio::test]
    async fn an_unknown_context_lists_the_existing_ones() {
        let error = chosen(TWO, &context("Prodution")).await.unwrap_err();
        assert_eq!(error.code(), "context-unknown");
        assert_eq!(
            error.remedy(),
            "Did you mean \"production\"? There are: staging, production, lost."
        );
        let error = chosen(TWO, &context("xyz")).await.unwrap_err();
        assert_eq!(error.remedy(), "Choose one of: staging, production, lost.");
    }

    #[tokio::test]
    async fn a_context_whose_cluster_is_not_described_says_so() {
        let error = chosen(TWO, &context("lost")).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "context \"lost\" names the cluster \"gone\", which the kubeconfig does not describe"
        );
    }

    #[tokio::test]
    async fn without_a_current_context_the_choice_is_listed() {
        let error = chosen(&TWO.replace("current-context: staging", ""), &Choice::default())
            .await
            .unwrap_err();
        assert_eq!(error.code(), "context-not-chosen");
        assert!(error.remedy().contains("staging, production"));
    }

    #[tokio::test]
    async fn broken_yaml_names_file_and_place_and_keeps_secrets() {
        let text = "apiVersion: v1\nusers:\n- name: dev\n  user: \"token-sesame\"\n";
        let error = chosen(text, &Choice::default()).await.unwrap_err();
        let KubeconfigError::Broken { path, line, .. } = &error else {
            panic!("{error:?}")
        };
        assert!(path.ends_with("config"));
        assert_eq!(*line, Some(4), "{error}");
        assert!(!error.to_string().contains("sesame"), "{error}");
    }

    #[test]
    fn a_missing_kubeconfig_lists_the_places() {
        let folder = tempfile::tempdir().unwrap();
        let sources = Sources {
            home: Some(folder.path().to_owned()),
            ..Sources::default()
        };
        let error = contexts(&sources).unwrap_err();
        assert_eq!(error.code(), "kubeconfig-missing");
        assert!(error.to_string().ends_with(".kube/config"), "{error}");
        assert!(
            contexts(&Sources::default())
                .unwrap_err()
                .to_string()
                .contains("neither KUBECONFIG nor HOME")
        );
    }

    #[test]
    fn files_of_the_variable_are_merged_if_they_exist() {
        let folder = tempfile::tempdir().unwrap();
        let one = write(folder.path(), "one", TWO);
        let two = write(
            folder.path(),
            "two",
            "current-context: other\nclusters: []\ncontexts:\n- {name: other, context: {cluster: one, user: dev}}\n",
        );
        let variable = std::env::join_paths([folder.path().join("absent"), one, two]).unwrap();
        let sources = Sources {
            variable: Some(variable),
            ..Sources::default()
        };
        let found = contexts(&sources).unwrap();
        let names: Vec<_> = found
            .iter()
            .map(|context| (&*context.name, context.current))
            .collect();
        assert_eq!(
            names,
            [
                ("staging", true),
                ("production", false),
                ("lost", false),
                ("other", false)
            ]
        );
        assert_eq!(found[3].server.as_deref(), Some("https://10.0.0.1:6443"));
        assert_eq!(found[2].server, None);
    }

    #[test]
    fn a_named_file_hides_the_variable() {
        let folder = tempfile::tempdir().unwrap();
        let variable = Some(write(folder.path(), "one", TWO).into_os_string());
        let file = Some(folder.path().join("absent"));
        let error = contexts(&Sources {
            file,
            variable,
            home: None,
        })
        .unwrap_err();
        assert_eq!(error.code(), "kubeconfig-missing");
    }

    fn with_plugin(plugin: &str) -> String {
        TWO.replace(
            "{token: sesame}",
            &format!("{{exec: {{apiVersion: client.authentication.k8s.io/v1, {plugin}}}}}"),
        )
    }

    async fn plugin_error(plugin: &str) -> ConnectError {
        let target = chosen(&with_plugin(plugin), &Choice::default()).await.unwrap();
        target.client().await.err().expect("a client without credentials")
    }

    #[tokio::test]
    async fn a_failing_plugin_is_named_with_its_message() {
        let error = plugin_error("command: sh, args: ['-c', 'echo token has expired >&2; exit 3']").await;
        assert_eq!(error.code(), "credential-plugin");
        let text = error.to_string();
        for part in [
            "https://10.0.0.1:6443/",
            "staging",
            "plugin sh failed",
            "token has expired",
            "exit status: 3",
        ] {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
        assert!(error.remedy().contains("Run sh in a terminal"));
    }

    #[tokio::test]
    async fn a_plugin_that_hangs_is_given_up_and_named() {
        // The plugin ends after a while, because the test cannot end before it.
        let asked = tokio::spawn(plugin_error("command: sleep, args: ['3']"));
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        tokio::time::pause();
        tokio::time::advance(PLUGIN_PATIENCE).await;
        let error = asked.await.unwrap();
        assert_eq!(error.code(), "credential-plugin");
        let text = error.to_string();
        assert!(
            text.contains("plugin sleep failed: it did not finish within 120 s"),
            "{text}"
        );
    }

    #[tokio::test]
    async fn a_missing_plugin_is_named() {
        let error = plugin_error("command: aws-iam-authenticator-not-here").await;
        assert_eq!(error.code(), "credential-plugin");
        assert!(
            error
                .to_string()
                .contains("plugin aws-iam-authenticator-not-here failed: "),
            "{error}"
        );
        assert!(error.to_string().contains("No such file"), "{error}");
    }

    #[tokio::test]
    async fn a_plugin_that_needs_a_terminal_is_not_run() {
        let text = with_plugin("command: kubelogin, interactiveMode: Always");
        let error = chosen(&text, &Choice::default()).await.unwrap_err();
        assert_eq!(error.code(), "credential-plugin-terminal");
        let with_terminal = Choice {
            terminal: true,
            ..Choice::default()
        };
        assert!(chosen(&text, &with_terminal).await.is_ok());
    }

    #[tokio::test]
    async fn an_unreachable_server_is_named_with_its_address() {
        let target = chosen(TWO, &context("production")).await.unwrap();
        let client = target.client().await.unwrap();
        let error = target.probe(&client).await.unwrap_err();
        assert_eq!(error.code(), "api-unreachable");
        assert!(
            error
                .to_string()
                .starts_with("http://127.0.0.1:1/ (context \"production\")"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_missing_certificate_file_is_named() {
        let text = TWO.replace(
            "server: 'https://10.0.0.1:6443'",
            "server: 'https://10.0.0.1:6443', certificate-authority: /nowhere/ca.crt",
        );
        let error = chosen(&text, &Choice::default()).await.unwrap_err();
        assert_eq!(error.code(), "context-unusable");
        assert!(error.to_string().contains("/nowhere/ca.crt"), "{error}");
    }
}
