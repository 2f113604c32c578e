//! Start of a created Job or pod: waits for the running container, or for the reason of a failure.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus, Event, Pod,
};
use kube::Client;
use kube::api::{Api, PostParams};
use tokio::time::{Instant, sleep_until, timeout};

use super::manifest::{self, AGENT_CONTAINER, Shape};
use super::{Created, PlaceError, Placement, Progress, START_PATIENCE, nodes, refusal};
use crate::api::{Access, ApiError, ask};
use crate::watch::{Follow, Selection};

/// Time for which a pod may be unschedulable: long enough for another try of the scheduler, not for new nodes.
const UNSCHEDULABLE_PATIENCE: Duration = Duration::from_secs(10);

/// Time for which a Job may have no pod before a dry run asks for the reason, where its events may not be read.
const NO_POD_PATIENCE: Duration = Duration::from_secs(3);

/// Number of requests that may fail in a row.
const FAILURES: u32 = 3;

/// Waits until the agent's container runs.
pub(super) async fn wait(
    client: &Client,
    placement: &Placement<'_>,
    shape: &Shape,
    created: &Created,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Pod, PlaceError> {
    let mut start = Start {
        client,
        placement,
        shape,
        created,
        progress,
        last: String::new(),
    };
    match timeout(START_PATIENCE, start.run()).await {
        Ok(ended) => ended,
        Err(_) => Err(PlaceError::TooSlow {
            waited: START_PATIENCE,
            last: start.last,
        }),
    }
}

/// Returns whether the agent's container runs.
pub(super) fn is_running(pod: &Pod) -> bool {
    container(pod)
        .and_then(|status| status.state.as_ref())
        .is_some_and(|state| state.running.is_some())
}

/// Returns how the agent's container ended, if it did.
pub(super) fn termination(pod: &Pod) -> Option<&ContainerStateTerminated> {
    container(pod)?.state.as_ref()?.terminated.as_ref()
}

/// Returns how the last run of the agent's container ended, if it did.
pub(super) fn last_termination(pod: &Pod) -> Option<&ContainerStateTerminated> {
    let status = container(pod)?;
    let of = |state: &'_ Option<ContainerState>| {
        state
            .as_ref()
            .and_then(|state| state.terminated.as_ref())
            .is_some()
    };
    let state = if of(&status.state) {
        &status.state
    } else {
        &status.last_state
    };
    state.as_ref()?.terminated.as_ref()
}

/// Returns the memory limit of the agent's container.
pub(super) fn memory_limit(pod: &Pod) -> Option<String> {
    let containers = &pod.spec.as_ref()?.containers;
    let agent = containers
        .iter()
        .find(|container| container.name == AGENT_CONTAINER)?;
    let limits = agent.resources.as_ref()?.limits.as_ref()?;
    Some(limits.get("memory")?.0.clone())
}

struct Start<'a> {
    client: &'a Client,
    placement: &'a Placement<'a>,
    shape: &'a Shape,
    created: &'a Created,
    progress: &'a (dyn Fn(Progress) + Send + Sync),
    last: String,
}

impl Start<'_> {
    async fn run(&mut self) -> Result<Pod, PlaceError> {
        let mut pods = self.pods();
        let mut refusals = self.refusals();
        let mut unschedulable: Option<(Instant, String)> = None;
        let mut dry_run: Option<Instant> = None;
        let mut judge = Judge::default();
        let (mut seen, mut failures) = (false, 0);
        loop {
            let give_up = unschedulable
                .as_ref()
                .map(|(since, _)| *since + UNSCHEDULABLE_PATIENCE);
            tokio::select! {
                listed = pods.next() => {
                    let listed = match listed {
                        Ok(listed) => { failures = 0; listed }
                        Err(error) if error.is_passing() && failures < FAILURES => { failures += 1; continue }
                        Err(error) => return Err(refusal::of(error, &self.placement.namespace)),
                    };
                    let Some(pod) = self.ours(listed) else {
                        if seen { return Err(PlaceError::Gone) }
                        self.report("no pod yet");
                        continue;
                    };
                    let pod = pod.clone();
                    seen = true;
                    dry_run = None;
                    unschedulable = match judge.judge(&pod) {
                        Step::Running => return Ok(pod),
                        Step::Failed(error) => return Err(error),
                        Step::Waiting(reason) => { self.report(&reason); None }
                        Step::Unschedulable(message) => {
                            self.report("Unschedulable");
                            Some((unschedulable.map_or_else(Instant::now, |(since, _)| since), message))
                        }
                    };
                }
                refused = next_refusal(&mut refusals), if refusals.is_some() => match refused {
                    Ok(message) => if let Some(error) = self.refused(message) { return Err(error) },
                    Err(error) => {
                        tracing::debug!(%error, "cannot watch the Job's events");
                        refusals = None;
                        dry_run = (!seen).then(|| Instant::now() + NO_POD_PATIENCE);
                    }
                },
                () = at(dry_run), if dry_run.is_some() => {
                    dry_run = None;
                    self.try_dry().await?;
                }
                () = at(give_up), if give_up.is_some() => {
                    let message = unschedulable.map_or_else(String::new, |(_, message)| message);
                    let message = nodes::in_words(self.client, message).await;
                    return Err(PlaceError::Unschedulable { message });
                }
            }
        }
    }

    fn pods(&self) -> Follow<Pod> {
        let namespace = &self.placement.namespace;
        let selection = match self.created {
            Created::Job(_) => Selection {
                labels: Some(manifest::selector(self.placement.session)),
                fields: None,
            },
            Created::Pod(name) => Selection {
                labels: None,
                fields: Some(format!("metadata.name={name}")),
            },
        };
        Follow::new(
            Api::namespaced(self.client.clone(), namespace),
            namespace,
            "pods",
            selection,
        )
    }

    /// Watches events of the Job: its controller reports only there why it cannot create a pod.
    fn refusals(&self) -> Option<Follow<Event>> {
        let Created::Job(name) = self.created else {
            return None;
        };
        let namespace = &self.placement.namespace;
        let fields = format!("involvedObject.kind=Job,involvedObject.name={name},reason=FailedCreate");
        let selection = Selection {
            labels: None,
            fields: Some(fields),
        };
        Some(Follow::new(
            Api::namespaced(self.client.clone(), namespace),
            namespace,
            "events",
            selection,
        ))
    }

    /// Returns the pod of this attempt; one of an earlier attempt may still be terminating.
    fn ours<'p>(&self, listed: &'p BTreeMap<String, Pod>) -> Option<&'p Pod> {
        match self.created {
            Created::Pod(name) => listed.get(name),
            Created::Job(name) => listed.values().find(|pod| {
                let owners = pod.metadata.owner_references.as_deref().unwrap_or_default();
                owners
                    .iter()
                    .any(|owner| owner.kind == "Job" && owner.name == *name)
            }),
        }
    }

    fn report(&mut self, reason: &str) {
        if self.last != reason {
            reason.clone_into(&mut self.last);
            (self.progress)(Progress::WaitingForPod {
                reason: reason.to_owned(),
            });
        }
    }

    /// Converts a refusal to an error; `None` if the Job controller will retry with success.
    fn refused(&mut self, message: String) -> Option<PlaceError> {
        let says = |words: &str| message.contains(words);
        let final_word = says("is forbidden") || says("denied the request") || says("is invalid");
        if final_word && !says("error looking up service account") {
            return Some(refusal::of_message(message, &self.placement.namespace));
        }
        self.report(&message);
        None
    }

    /// Checks with a dry run whether the pod would be admitted.
    async fn try_dry(&mut self) -> Result<(), PlaceError> {
        let namespace = &self.placement.namespace;
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let params = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        let pod = manifest::pod(self.placement, self.shape);
        match ask(
            Access::within(namespace, "create", "", "pods"),
            pods.create(&params, &pod),
        )
        .await
        {
            Err(ApiError::Refused {
                status: 400 | 403 | 422,
                message,
                ..
            }) => match self.refused(message) {
                Some(error) => Err(error),
                None => Ok(()),
            },
            // The dry run is forbidden too, or has no answer: keep waiting.
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

async fn next_refusal(events: &mut Option<Follow<Event>>) -> Result<String, ApiError> {
    let Some(events) = events else {
        return std::future::pending().await;
    };
    loop {
        let newest = events
            .next()
            .await?
            .values()
            .last()
            .and_then(|event| event.message.clone());
        if let Some(message) = newest {
            return Ok(message
                .strip_prefix("Error creating: ")
                .map_or(message.clone(), str::to_owned));
        }
    }
}

/// Meaning of a pod's status for its start.
#[derive(Debug)]
enum Step {
    Waiting(String),
    Unschedulable(String),
    Running,
    Failed(PlaceError),
}

/// Evaluates the states of one pod, in order.
#[derive(Debug, Default)]
struct Judge {
    /// Message of the registry. It comes with the failure, and the back-off that follows may not repeat it.
    pull_failure: Option<String>,
}

impl Judge {
    fn judge(&mut self, pod: &Pod) -> Step {
        let status = pod.status.clone().unwrap_or_default();
        if pod.metadata.deletion_timestamp.is_some() {
            return Step::Failed(PlaceError::Gone);
        }
        if let Some(terminated) = termination(pod) {
            return Step::Failed(ended(terminated));
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
    const FINAL: [&str; 9] = [
        "not found",
        "manifest unknown",
        "name unknown",
        "does not exist",
        "denied",
        "nauthorized",
        "403 Forbidden",
        "no such host",
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

fn container(pod: &Pod) -> Option<&ContainerStatus> {
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
