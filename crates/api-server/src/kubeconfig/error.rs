//! Errors of a kubeconfig, and of connecting to its cluster.

use std::path::PathBuf;

use slipway_problem::Fault;
use thiserror::Error;

/// Reason for which no cluster could be chosen.
#[derive(Debug, Error)]
pub enum KubeconfigError {
    /// No kubeconfig exists in any of the places.
    #[error("there is no kubeconfig: Slipway looked at {}", places(looked_at))]
    Missing {
        /// Files that do not exist.
        looked_at: Vec<PathBuf>,
    },
    /// A file exists but cannot be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Error of the kernel.
        source: std::io::Error,
    },
    /// A file is not a kubeconfig.
    #[error("{}{}: {detail}", path.display(), place(*line, *column))]
    Broken {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: Option<u64>,
        /// Column, from 1.
        column: Option<u64>,
        /// Message of the parser, without contents of the file, which may be secrets.
        detail: String,
    },
    /// The user chose no context, and the kubeconfig has no current one.
    #[error("the kubeconfig has no current context")]
    NoCurrentContext {
        /// The contexts that exist.
        existing: Vec<String>,
    },
    /// The chosen context is not in the kubeconfig.
    #[error("the kubeconfig has no context {asked:?}")]
    UnknownContext {
        /// Name that the user chose.
        asked: String,
        /// The contexts that exist.
        existing: Vec<String>,
        /// Existing name that the user probably meant.
        nearest: Option<String>,
    },
    /// The context names a cluster that the kubeconfig does not describe.
    #[error("context {context:?} names the cluster {cluster:?}, which the kubeconfig does not describe")]
    UnknownCluster {
        /// The context.
        context: String,
        /// The cluster that it names.
        cluster: String,
    },
    /// The context's cluster or user cannot be used: it has no address, or a certificate file is missing.
    #[error("context {context:?} is not usable: {detail}")]
    Unusable {
        /// The context.
        context: String,
        /// Description of the error.
        detail: String,
    },
    /// The server that the profile names cannot be used, for example because a certificate file is missing.
    #[error("the server {server} of the profile is not usable: {detail}")]
    UnusableServer {
        /// Address of the server.
        server: String,
        /// Description of the error.
        detail: String,
    },
    /// The credential plugin needs a terminal, and the session has none.
    #[error("context {context:?}: the credential plugin {plugin} needs a terminal")]
    PluginNeedsTerminal {
        /// The context.
        context: String,
        /// The program.
        plugin: String,
    },
}

impl KubeconfigError {
    /// Returns the error of a server that stands in the profile and not in a kubeconfig.
    pub(super) fn of_server(self, server: &str) -> Self {
        if let Self::Unusable { detail, .. } = self {
            let server = server.to_owned();
            return Self::UnusableServer { server, detail };
        }
        self
    }
}

impl Fault for KubeconfigError {
    fn code(&self) -> &str {
        match self {
            Self::Missing { .. } => "kubeconfig-missing",
            Self::Unreadable { .. } => "kubeconfig-unreadable",
            Self::Broken { .. } => "kubeconfig-broken",
            Self::NoCurrentContext { .. } => "context-not-chosen",
            Self::UnknownContext { .. } => "context-unknown",
            Self::UnknownCluster { .. } => "cluster-unknown",
            Self::Unusable { .. } => "context-unusable",
            Self::UnusableServer { .. } => "server-unusable",
            Self::PluginNeedsTerminal { .. } => "credential-plugin-terminal",
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::Missing { .. } => {
                "Get a kubeconfig from the cluster's administrator and save it as ~/.kube/config, or name its file with \
                 `--kubeconfig`."
                    .to_owned()
            }
            Self::Unreadable { path, .. } => format!("Make {} readable for your user.", path.display()),
            Self::Broken { path, .. } => format!("Correct {}, or fetch it again.", path.display()),
            Self::NoCurrentContext { existing } | Self::UnknownContext { existing, .. } if existing.is_empty() => {
                "The kubeconfig has no contexts; fetch it again.".to_owned()
            }
            Self::UnknownContext {
                existing,
                nearest: Some(nearest),
                ..
            } => format!("Did you mean {nearest:?}? The contexts are: {}.", existing.join(", ")),
            Self::NoCurrentContext { existing } | Self::UnknownContext { existing, .. } => {
                format!("Choose a context with `--context`: {}.", existing.join(", "))
            }
            Self::UnknownCluster { .. } | Self::Unusable { .. } => {
                "Correct this context in the kubeconfig, or fetch it again.".to_owned()
            }
            Self::UnusableServer { .. } => "Correct the table `[cluster]` of the profile.".to_owned(),
            Self::PluginNeedsTerminal { plugin, .. } => {
                format!("Start the session from a terminal, or log in with {plugin} beforehand.")
            }
        }
    }
}

fn places(paths: &[PathBuf]) -> String {
    if paths.is_empty() {
        return "nothing, because neither KUBECONFIG nor HOME is set".to_owned();
    }
    paths
        .iter()
        .map(|path| path.display().to_string())
        .collect::<Vec<_>>()
        .join(", ")
}

fn place(line: Option<u64>, column: Option<u64>) -> String {
    match (line, column) {
        (Some(line), Some(column)) => format!(":{line}:{column}"),
        (Some(line), None) => format!(":{line}"),
        (None, _) => String::new(),
    }
}
