//! Errors of placing an agent.

use std::time::Duration;

use slipway_problem::{Action, Fault};
use thiserror::Error;

use slipway_api_server::request::{Access, ApiError};

use super::compliance::{self, Field};

/// Reason for which an agent could not be placed.
#[derive(Debug, Error)]
pub enum PlaceError {
    /// A request to the API server failed.
    #[error(transparent)]
    Api(ApiError),
    /// The user lacks a permission that placing needs.
    #[error("you may not {access}")]
    Forbidden {
        /// Missing permission.
        access: Access,
        /// Role with its RoleBinding, as YAML, that is sufficient.
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
    #[error("a rule of the cluster refuses the agent's pod{}", told(message))]
    Admission {
        /// Message of the rule.
        message: String,
    },
    /// A ResourceQuota leaves no room.
    #[error("the namespace's quota leaves no room for the agent{}", told(message))]
    Quota {
        /// Message of the API server.
        message: String,
        /// Requests and limits of the pod that it refused, in words.
        asked: String,
    },
    /// A LimitRange does not allow requests and limits as small or large as the agent's.
    #[error("the namespace's limit range does not fit the agent{}", told(message))]
    LimitRange {
        /// Message of the API server.
        message: String,
    },
    /// No node accepts the pod.
    #[error("no node accepts the agent's pod{}", told(message))]
    Unschedulable {
        /// Message of the scheduler.
        message: String,
    },
    /// The node cannot fetch the image.
    #[error("the cluster cannot fetch the image {image:?} ({reason}){}", told(message))]
    Image {
        /// Name of the image.
        image: String,
        /// `ImagePullBackOff`, `InvalidImageName`, `ErrImageNeverPull`.
        reason: String,
        /// Message of the registry, as the node repeats it.
        message: String,
    },
    /// The container cannot be created or does not start.
    #[error("the agent's container does not start ({reason}){}", told(message))]
    Container {
        /// `CreateContainerError`, `RunContainerError`, ...
        reason: String,
        /// Message of the node.
        message: String,
    },
    /// A container that the cluster added to the pod failed, so the agent's never starts.
    #[error(
        "the container {name} that the cluster added to the agent's pod failed (exit code {exit_code}){}",
        told(message)
    )]
    AddedContainer {
        /// Name of that container.
        name: String,
        /// Exit code.
        exit_code: i32,
        /// Its last message, if any.
        message: String,
    },
    /// The container ended before the agent was in it.
    #[error(
        "the agent's container ended at once (exit code {exit_code}){}",
        told(message)
    )]
    Ended {
        /// Exit code.
        exit_code: i32,
        /// Reason and last message, if any.
        message: String,
    },
    /// The node evicted the pod.
    #[error("the node evicted the agent's pod ({reason}){}", told(message))]
    Evicted {
        /// `Evicted`, `Preempting`, `NodeShutdown`, ...
        reason: String,
        /// Message of the node.
        message: String,
    },
    /// The pod was deleted while it started.
    #[error("the agent's pod was deleted while it started")]
    Gone,
    /// The pod did not run in time.
    #[error("the agent's pod did not run within {} s{}", waited.as_secs(), last_state(last))]
    TooSlow {
        /// Length of the wait.
        waited: Duration,
        /// Last state of the pod, in the cluster's words; empty if nothing was seen of it.
        last: String,
    },
    /// Binary and key could not be sent.
    #[error(transparent)]
    Upload(#[from] UploadError),
}

/// Reason for which the agent's program could not be sent to its pod.
#[derive(Debug, Error)]
pub enum UploadError {
    /// The connection for the upload failed.
    #[error(transparent)]
    Api(ApiError),
    /// The pod's shell failed, or sent an unexpected answer.
    #[error("the pod's shell failed{}{}", exit(*exit_code), told(said))]
    Shell {
        /// Exit code, if the shell ended with one.
        exit_code: Option<i32>,
        /// Standard error of the shell, or the error that the API server reports.
        said: String,
    },
    /// The connection ended before everything was sent.
    #[error("the connection into the pod ended after {sent} of {total} bytes")]
    CutOff {
        /// Number of bytes written to the connection.
        sent: usize,
        /// Number of bytes in all.
        total: usize,
    },
    /// The upload made no progress for too long.
    #[error("the transfer into the pod made no progress for {} s after {sent} of {total} bytes", waited.as_secs())]
    Stalled {
        /// Length of the wait.
        waited: Duration,
        /// Number of bytes written to the connection.
        sent: usize,
        /// Number of bytes in all.
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
            Self::AddedContainer { .. } => "agent-added-container",
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
                // A user without permissions in a namespace gets the same refusal whether it exists or not.
                format!(
                    "Check the spelling of the namespace: the API server gives the same answer if it does not exist. \
                     Then ask the cluster's administrator for the permission to {access}; this Role with its RoleBinding is enough:\n\n{role}"
                )
            }
            Self::NamespaceMissing { .. } | Self::NamespaceEnding { .. } => {
                "Choose another namespace, with `--namespace` or in the profile, or create this one.".to_owned()
            }
            Self::Admission { message } => {
                let field = compliance::sentence(message);
                let ask = if field.is_empty() { "Ask" } else { "If that is not enough, ask" };
                format!(
                    "{field}{ask} the cluster's administrator about this rule; the agent's pod complies with the restricted \
                     Pod Security Standard and needs nothing beyond it."
                )
            }
            Self::Quota { asked, .. } => format!(
                "Delete something in this namespace, or ask for a larger quota: the agent is one pod with {asked}."
            ),
            Self::LimitRange { .. } => {
                "Ask for a limit range that allows a container with a memory limit of 24Mi or more, better 128Mi.".to_owned()
            }
            Self::Unschedulable { message } => {
                let taint = compliance::sentence(message);
                format!(
                    "{taint}The agent needs a Linux node with an amd64 processor; check that one is ready and has room."
                )
            }
            Self::Image { message, .. } => {
                let secret = if is_denied(message) {
                    format!(" If its registry wants a login, give the agent {}.", Field::PullSecrets.named())
                } else {
                    String::new()
                };
                format!(
                    "Name an image that this cluster can fetch, with `--agent-image` or in the profile; it needs a shell \
                     with head, mkfifo and timeout.{secret}"
                )
            }
            Self::Container { .. } | Self::Ended { .. } => {
                "Name another image, with `--agent-image` or in the profile; it needs a shell with head, mkfifo and timeout."
                    .to_owned()
            }
            Self::AddedContainer { .. } => {
                "Ask the cluster's administrator about this container, or keep it away from the agent: service meshes \
                 leave out a pod with `--agent-label sidecar.istio.io/inject=false` or `--agent-annotation \
                 linkerd.io/inject=disabled`."
                    .to_owned()
            }
            Self::Evicted { .. } | Self::Gone => "Connect again.".to_owned(),
            Self::TooSlow { .. } => "Try again; if the error remains, check the namespace's events and the node.".to_owned(),
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
            | Self::AddedContainer { .. }
            | Self::Ended { .. }
            | Self::Evicted { .. }
            | Self::Gone
            | Self::TooSlow { .. } => Vec::new(),
        }
    }
}

impl PlaceError {
    /// Returns whether another attempt may succeed without a change of permissions, rules or settings.
    pub fn is_passing(&self) -> bool {
        match self {
            // A new login is no change of the session.
            Self::Api(error) | Self::Upload(UploadError::Api(error)) => {
                error.is_passing() || error.is_of_login()
            }
            Self::Forbidden { .. }
            | Self::NamespaceMissing { .. }
            | Self::NamespaceEnding { .. }
            | Self::Admission { .. }
            | Self::LimitRange { .. } => false,
            Self::Quota { .. }
            | Self::Unschedulable { .. }
            | Self::Image { .. }
            | Self::Container { .. }
            | Self::AddedContainer { .. }
            | Self::Ended { .. }
            | Self::Evicted { .. }
            | Self::Gone
            | Self::TooSlow { .. }
            | Self::Upload(_) => true,
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
                "Name another image, with `--agent-image` or in the profile; it needs a shell with head, mkfifo and timeout."
                    .to_owned()
            }
            Self::CutOff { .. } | Self::Stalled { .. } => {
                "Try again on a more stable connection; a proxy may also cut long requests.".to_owned()
            }
        }
    }
}

/// Whether a registry asks who wants the image.
fn is_denied(message: &str) -> bool {
    let message = message.to_lowercase();
    [
        "denied",
        "unauthorized",
        "authoriz",
        "authentication",
        "401",
        "403",
    ]
    .iter()
    .any(|word| message.contains(word))
}

fn exit(code: Option<i32>) -> String {
    code.map_or_else(String::new, |code| format!(" (exit code {code})"))
}

/// Puts a colon before a message of the cluster. An empty one needs none.
pub(super) fn told(message: &str) -> String {
    let message = message.trim();
    if message.is_empty() {
        String::new()
    } else {
        format!(": {message}")
    }
}

fn last_state(last: &str) -> String {
    if last.is_empty() {
        String::new()
    } else {
        format!("; its last state was: {last}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_without_a_message_has_no_colon() {
        let none = String::new;
        let reason = || "Error".to_owned();
        for error in [
            PlaceError::Admission { message: none() },
            PlaceError::Quota {
                message: none(),
                asked: none(),
            },
            PlaceError::LimitRange { message: none() },
            PlaceError::Unschedulable { message: none() },
            PlaceError::Image {
                image: "busybox".to_owned(),
                reason: reason(),
                message: none(),
            },
            PlaceError::Container {
                reason: reason(),
                message: "\n".to_owned(),
            },
            PlaceError::AddedContainer {
                name: "istio-init".to_owned(),
                exit_code: 1,
                message: none(),
            },
            PlaceError::Ended {
                exit_code: 1,
                message: none(),
            },
            PlaceError::Evicted {
                reason: reason(),
                message: none(),
            },
            PlaceError::TooSlow {
                waited: Duration::from_secs(120),
                last: none(),
            },
            UploadError::Shell {
                exit_code: Some(1),
                said: none(),
            }
            .into(),
        ] {
            let cause = error.problem().cause;
            assert!(!cause.contains(':'), "{cause}");
        }
    }
}
