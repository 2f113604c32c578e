//! What can be wrong with a kubeconfig, and with reaching its cluster.

use std::path::PathBuf;

use slipway_problem::Fault;
use thiserror::Error;

use crate::api::ApiError;

/// Why no cluster could be chosen.
#[derive(Debug, Error)]
pub enum KubeconfigError {
    /// There is no kubeconfig in any of the places.
    #[error("no kubeconfig: looked at {}", places(looked_at))]
    Missing {
        /// The files that were looked for.
        looked_at: Vec<PathBuf>,
    },
    /// A file exists and cannot be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The kernel's reason.
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
        /// What the parser says; never the file's contents, which hold secrets.
        detail: String,
    },
    /// No context was named and the kubeconfig has no current one.
    #[error("the kubeconfig has no current context")]
    NoCurrentContext {
        /// The contexts that exist.
        existing: Vec<String>,
    },
    /// The named context is not in the kubeconfig.
    #[error("the kubeconfig has no context {asked:?}")]
    UnknownContext {
        /// The name that was asked for.
        asked: String,
        /// The contexts that exist.
        existing: Vec<String>,
        /// The one that was probably meant.
        nearest: Option<String>,
    },
    /// The context names a cluster that the kubeconfig does not describe.
    #[error("context {context:?} names the cluster {cluster:?}, which the kubeconfig does not describe")]
    UnknownCluster {
        /// The context.
        context: String,
        /// The cluster it names.
        cluster: String,
    },
    /// The context's cluster or user cannot be used: no address, a certificate file that is not there.
    #[error("context {context:?} is not usable: {detail}")]
    Unusable {
        /// The context.
        context: String,
        /// What is wrong.
        detail: String,
    },
    /// The credential plugin wants a terminal and there is none.
    #[error("context {context:?}: the credential plugin {plugin} wants a terminal")]
    PluginNeedsTerminal {
        /// The context.
        context: String,
        /// The program.
        plugin: String,
    },
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
            Self::PluginNeedsTerminal { .. } => "credential-plugin-terminal",
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::Missing { .. } => {
                "Get a kubeconfig from whoever runs the cluster and save it as ~/.kube/config, or name its file."
                    .to_owned()
            }
            Self::Unreadable { path, .. } => format!("Make {} readable for your user.", path.display()),
            Self::Broken { path, .. } => format!("Correct {} at that place, or fetch it anew.", path.display()),
            Self::NoCurrentContext { existing } => format!("Choose one of: {}.", existing.join(", ")),
            Self::UnknownContext { existing, nearest, .. } => match nearest {
                Some(nearest) => format!("Did you mean {nearest:?}? There are: {}.", existing.join(", ")),
                None if existing.is_empty() => "The kubeconfig has no contexts at all; fetch it anew.".to_owned(),
                None => format!("Choose one of: {}.", existing.join(", ")),
            },
            Self::UnknownCluster { .. } | Self::Unusable { .. } => {
                "Correct this context in the kubeconfig, or fetch it anew.".to_owned()
            }
            Self::PluginNeedsTerminal { plugin, .. } => {
                format!("Start the session from a terminal, or let {plugin} log in beforehand.")
            }
        }
    }
}

impl KubeconfigError {
    /// What the library found wrong with a context's parts.
    pub(super) fn of_context(context: &str, error: kube::config::KubeconfigError) -> Self {
        Self::Unusable {
            context: context.to_owned(),
            detail: error.to_string(),
        }
    }
}

/// Why a cluster does not answer as it should.
#[derive(Debug, Error)]
#[error("{server} (context {context:?}): {cause}")]
pub struct ConnectError {
    /// The address that was asked.
    pub server: String,
    /// The context that named it.
    pub context: String,
    /// What failed.
    #[source]
    pub cause: ApiError,
}

impl Fault for ConnectError {
    fn code(&self) -> &str {
        self.cause.code()
    }

    fn remedy(&self) -> String {
        self.cause.remedy()
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
