//! Why there is no agent.

use std::time::Duration;

use slipway_problem::{Action, Fault};
use thiserror::Error;

use crate::api::{Access, ApiError};

/// Why an agent could not be placed.
#[derive(Debug, Error)]
pub enum PlaceError {
    /// The API server could not be asked.
    #[error(transparent)]
    Api(ApiError),
    /// The user may not do what placing needs.
    #[error("you may not {access}")]
    Forbidden {
        /// What was asked.
        access: Access,
        /// A Role, as YAML, that would be enough.
        role: String,
    },
    /// The namespace does not exist.
    #[error("there is no namespace {namespace:?} in this cluster")]
    NamespaceMissing {
        /// The namespace.
        namespace: String,
    },
    /// The namespace is being deleted.
    #[error("the namespace {namespace:?} is being deleted")]
    NamespaceEnding {
        /// The namespace.
        namespace: String,
    },
    /// A rule of the cluster refuses the pod: Pod Security, a webhook, security context constraints.
    #[error("a rule of the cluster refuses the agent's pod: {message}")]
    Admission {
        /// The rule's words.
        message: String,
    },
    /// A ResourceQuota leaves no room.
    #[error("the namespace's quota leaves no room for the agent: {message}")]
    Quota {
        /// The API server's words.
        message: String,
    },
    /// A LimitRange does not allow requests and limits as small or large as the agent's.
    #[error("the namespace's limit range does not fit the agent: {message}")]
    LimitRange {
        /// The API server's words.
        message: String,
    },
    /// No node takes the pod.
    #[error("no node takes the agent's pod: {message}")]
    Unschedulable {
        /// The scheduler's words.
        message: String,
    },
    /// The image cannot be fetched.
    #[error("the image {image:?} cannot be fetched ({reason}): {message}")]
    Image {
        /// The image's name.
        image: String,
        /// `ImagePullBackOff`, `InvalidImageName`, `ErrImageNeverPull`.
        reason: String,
        /// The registry's words, as the node repeats them.
        message: String,
    },
    /// The container cannot be made or does not start.
    #[error("the agent's container does not start ({reason}): {message}")]
    Container {
        /// `CreateContainerError`, `RunContainerError`, ...
        reason: String,
        /// The node's words.
        message: String,
    },
    /// The container ended before the agent was in it.
    #[error("the agent's container ended at once (exit code {exit_code}): {message}")]
    Ended {
        /// The exit code.
        exit_code: i32,
        /// The reason and last words, if any.
        message: String,
    },
    /// The node put the pod out.
    #[error("the node put the agent's pod out ({reason}): {message}")]
    Evicted {
        /// `Evicted`, `Preempting`, `NodeShutdown`, ...
        reason: String,
        /// The node's words.
        message: String,
    },
    /// Somebody deleted the pod while it started.
    #[error("the agent's pod was deleted while it started")]
    Gone,
    /// The pod did not run in time.
    #[error("the agent's pod did not run within {} s; last: {last}", waited.as_secs())]
    TooSlow {
        /// How long was waited.
        waited: Duration,
        /// What it waited for last, in the cluster's words.
        last: String,
    },
    /// Binary and key could not be sent.
    #[error(transparent)]
    Upload(#[from] UploadError),
}

/// Why the agent's program did not get into its pod.
#[derive(Debug, Error)]
pub enum UploadError {
    /// The connection for it did not come about.
    #[error(transparent)]
    Api(ApiError),
    /// The pod's shell said something else than was expected, or failed.
    #[error("the pod's shell failed{}: {said}", exit(*exit_code))]
    Shell {
        /// The exit code, where it ended with one.
        exit_code: Option<i32>,
        /// Its standard error, or the error that the API server reports.
        said: String,
    },
    /// The connection ended before everything was sent.
    #[error("the connection into the pod ended after {sent} of {total} bytes")]
    CutOff {
        /// Bytes handed over.
        sent: usize,
        /// Bytes in all.
        total: usize,
    },
    /// Nothing moved for too long.
    #[error("the transfer into the pod stood still for {} s after {sent} of {total} bytes", waited.as_secs())]
    Stalled {
        /// How long was waited.
        waited: Duration,
        /// Bytes handed over.
        sent: usize,
        /// Bytes in all.
        total: usize,
    },
}

impl Fault for PlaceError {
    fn code(&self) -> &str {
        match self {
            Self::Api(error) => error.code(),
            Self::Forbidden { .. } => "forbidden",
            Self::NamespaceMissing { .. } => "namespace-missing",
            Self::NamespaceEnding { .. } => "namespace-ending",
            Self::Admission { .. } => "agent-refused",
            Self::Quota { .. } => "quota",
            Self::LimitRange { .. } => "limit-range",
            Self::Unschedulable { .. } => "agent-unschedulable",
            Self::Image { .. } => "agent-image",
            Self::Container { .. } => "agent-container",
            Self::Ended { .. } => "agent-ended",
            Self::Evicted { .. } => "agent-evicted",
            Self::Gone => "agent-deleted",
            Self::TooSlow { .. } => "agent-slow",
            Self::Upload(error) => error.code(),
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::Api(error) => error.remedy(),
            Self::Forbidden { access, role } => {
                // Who may do nothing in a namespace is refused alike whether it exists or not.
                format!(
                    "Check that the namespace is written right: whoever may do nothing in it is not told whether it \
                     exists. Then ask the cluster's administrator for \"{access}\"; this Role is enough:\n\n{role}"
                )
            }
            Self::NamespaceMissing { .. } | Self::NamespaceEnding { .. } => {
                "Choose another namespace in the profile, or create this one.".to_owned()
            }
            Self::Admission { .. } => {
                "Ask whoever set this rule; Slipway's pod keeps to the restricted Pod Security Standard and wants nothing \
                 beyond it."
                    .to_owned()
            }
            Self::Quota { .. } => "Free something in this namespace, or ask for a larger quota: the agent needs one pod, \
                 10m CPU and 16Mi of memory."
                .to_owned(),
            Self::LimitRange { .. } => {
                "Ask for a limit range that allows a container of 10m CPU, 16Mi of memory and a limit of 128Mi.".to_owned()
            }
            Self::Unschedulable { .. } => {
                "The agent runs on Linux nodes of the amd64 kind; check that one is ready and has room.".to_owned()
            }
            Self::Image { .. } => {
                "Name an image that this cluster can fetch, with --agent-image or in the profile: any small one with a \
                 shell will do."
                    .to_owned()
            }
            Self::Container { .. } | Self::Ended { .. } => {
                "Set another agent image in the profile; it needs a shell with head, mkfifo and timeout.".to_owned()
            }
            Self::Evicted { .. } | Self::Gone => "Connect again.".to_owned(),
            Self::TooSlow { .. } => "Try again; if it stays, look at the namespace's events and the node.".to_owned(),
            Self::Upload(error) => error.remedy(),
        }
    }

    fn actions(&self) -> Vec<Action> {
        match self {
            Self::Forbidden { role, .. } => vec![Action::AskForRole { yaml: role.clone() }],
            Self::Api(error) => error.actions(),
            Self::Upload(error) => error.actions(),
            Self::NamespaceMissing { .. }
            | Self::NamespaceEnding { .. }
            | Self::Admission { .. }
            | Self::Quota { .. }
            | Self::LimitRange { .. }
            | Self::Unschedulable { .. }
            | Self::Image { .. }
            | Self::Container { .. }
            | Self::Ended { .. }
            | Self::Evicted { .. }
            | Self::Gone
            | Self::TooSlow { .. } => Vec::new(),
        }
    }
}

impl Fault for UploadError {
    fn code(&self) -> &str {
        match self {
            Self::Api(error) => error.code(),
            Self::Shell { .. } => "agent-shell",
            Self::CutOff { .. } => "upload-cut-off",
            Self::Stalled { .. } => "upload-stalled",
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::Api(error) => error.remedy(),
            Self::Shell { .. } => {
                "Set another agent image in the profile; it needs a shell with head, mkfifo and timeout."
                    .to_owned()
            }
            Self::CutOff { .. } | Self::Stalled { .. } => {
                "Try again on a steadier connection; a proxy on the way may also cut long requests."
                    .to_owned()
            }
        }
    }
}

fn exit(code: Option<i32>) -> String {
    code.map_or_else(String::new, |code| format!(" (exit code {code})"))
}
