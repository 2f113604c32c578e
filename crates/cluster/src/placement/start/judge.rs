//! Meaning of a pod's states for its start.

use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStateWaiting, ContainerStatus, Pod};

use super::{is_running, termination};
use crate::placement::PlaceError;
use crate::placement::manifest::AGENT_CONTAINER;

/// Meaning of a pod's status for its start.
#[derive(Debug)]
pub(super) enum Step {
    Waiting(String),
    Unschedulable(String),
    Running,
    Failed(PlaceError),
}

/// Evaluates the states of one pod, in order.
#[derive(Debug, Default)]
pub(super) struct Judge {
    /// Message of the registry. It comes with the failure, and the back-off that follows may not repeat it.
    pull_failure: Option<String>,
}

impl Judge {
    pub(super) fn judge(&mut self, pod: &Pod) -> Step {
        let status = pod.status.clone().unwrap_or_default();
        if pod.metadata.deletion_timestamp.is_some() {
            return Step::Failed(PlaceError::Gone);
        }
        if let Some(terminated) = termination(pod) {
            return Step::Failed(ended(terminated));
        }
        if status.phase.as_deref() == Some("Failed") && status.reason.is_none() {
            return Step::Failed(failed_before(pod));
        }
        if let (Some("Failed"), Some(reason)) = (status.phase.as_deref(), &status.reason) {
            let message = status.message.unwrap_or_default();
            return Step::Failed(PlaceError::Evicted {
                reason: reason.clone(),
                message,
            });
        }
        if is_running(pod) {
            return Step::Running;
        }
        let waiting = container(pod).and_then(|status| status.state.as_ref()?.waiting.as_ref());
        if let Some(waiting) = waiting {
            return self.waiting(pod, waiting);
        }
        let scheduled = status
            .conditions
            .iter()
            .flatten()
            .find(|condition| condition.type_ == "PodScheduled");
        match scheduled {
            Some(condition)
                if condition.status == "False" && condition.reason.as_deref() == Some("Unschedulable") =>
            {
                Step::Unschedulable(condition.message.clone().unwrap_or_default())
            }
            Some(condition) if condition.status == "True" => Step::Waiting("Scheduled".to_owned()),
            Some(_) | None => Step::Waiting("Scheduling".to_owned()),
        }
    }

    fn waiting(&mut self, pod: &Pod, waiting: &ContainerStateWaiting) -> Step {
        let reason = waiting.reason.clone().unwrap_or_else(|| "Waiting".to_owned());
        let message = waiting.message.clone().unwrap_or_default();
        match reason.as_str() {
            "ErrImagePull" if is_final(&message) => Step::Failed(PlaceError::Image {
                image: image(pod),
                reason,
                message,
            }),
            // Wait for the next state: the kubelet retries once, some ten seconds later, before it backs off.
            "ErrImagePull" => {
                self.pull_failure = Some(message);
                Step::Waiting(reason)
            }
            "ImagePullBackOff"
            | "InvalidImageName"
            | "ErrImageNeverPull"
            | "ImageInspectError"
            | "RegistryUnavailable" => {
                let message = self.pull_failure.take().unwrap_or(message);
                Step::Failed(PlaceError::Image {
                    image: image(pod),
                    reason,
                    message,
                })
            }
            "CreateContainerError"
            | "CreateContainerConfigError"
            | "RunContainerError"
            | "CrashLoopBackOff" => Step::Failed(PlaceError::Container { reason, message }),
            _ => Step::Waiting(reason),
        }
    }
}

/// Returns whether the message of a failed pull says that another try will fail as well: there is no such image or
/// registry, or it is not for this cluster.
fn is_final(message: &str) -> bool {
    const FINAL: [&str; 10] = [
        "not found",
        "manifest unknown",
        "name unknown",
        "does not exist",
        "denied",
        "nauthorized",
        "403 Forbidden",
        "no such host",
        "network is unreachable",
        "connection refused",
    ];
    FINAL.iter().any(|part| message.contains(part))
}

fn ended(terminated: &ContainerStateTerminated) -> PlaceError {
    let reason = terminated.reason.clone().unwrap_or_default();
    let message = terminated.message.clone().unwrap_or_default();
    // The runtime could not start the command, because the image has no shell.
    if matches!(reason.as_str(), "StartError" | "ContainerCannotRun") {
        return PlaceError::Container { reason, message };
    }
    let words = [reason, message]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>();
    PlaceError::Ended {
        exit_code: terminated.exit_code,
        message: words.join(": "),
    }
}

/// Returns the reason for which a pod failed before the agent's container started: a container that the cluster added.
fn failed_before(pod: &Pod) -> PlaceError {
    let status = pod.status.as_ref();
    let first = status.and_then(|status| {
        let statuses = status.init_container_statuses.iter().flatten();
        statuses
            .filter_map(|one| Some((&one.name, one.state.as_ref()?.terminated.as_ref()?)))
            .find(|(_, ended)| ended.exit_code != 0)
    });
    let Some((name, terminated)) = first else {
        return PlaceError::Gone;
    };
    PlaceError::AddedContainer {
        name: name.clone(),
        exit_code: terminated.exit_code,
        message: terminated.message.clone().unwrap_or_default(),
    }
}

/// Returns whether the cluster added containers that would keep the pod alive. One that restarts by itself, an init
/// container of the pod, ends with the others.
pub(super) fn has_other_containers(pod: &Pod) -> bool {
    pod.spec
        .as_ref()
        .is_some_and(|spec| spec.containers.iter().any(|one| one.name != AGENT_CONTAINER))
}

/// Returns the status of the agent's container.
pub(super) fn container(pod: &Pod) -> Option<&ContainerStatus> {
    let statuses = pod.status.as_ref()?.container_statuses.as_deref()?;
    statuses.iter().find(|status| status.name == AGENT_CONTAINER)
}

fn image(pod: &Pod) -> String {
    let spec = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.containers.iter().find(|one| one.name == AGENT_CONTAINER));
    spec.and_then(|container| container.image.clone())
        .unwrap_or_default()
}
