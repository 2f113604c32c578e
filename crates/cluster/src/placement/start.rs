//! Start of a created Job or pod: waits for the running container, or for the reason of a failure.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated, Event, Pod};
use kube::Client;
use kube::api::{Api, PostParams};
use tokio::time::{Instant, sleep_until};

use self::judge::{Judge, Step, container, has_other_containers};
use super::error::told;
use super::manifest::{self, AGENT_CONTAINER};
use super::shape::{Processes, Shape};
use super::{Created, PlaceError, Placement, Progress, START_PATIENCE, nodes, refusal};
use crate::watch::{Follow, Selection};
use slipway_api_server::request::{Access, ApiError, ask};

mod judge;

/// Time for which a Job may have no pod before a dry run asks for the reason, where its events may not be read.
const NO_POD_PATIENCE: Duration = Duration::from_secs(3);

/// Number of requests that may fail in a row.
const FAILURES: u32 = 3;

/// Outcome of a start that did not fail.
pub(super) enum Started {
    /// The agent's container runs.
    Running(Box<Pod>),
    /// The cluster added containers, for which the pod has the wrong shape.
    OtherContainers,
}

/// Waits until the agent's container runs.
pub(super) async fn wait(
    client: &Client,
    placement: &Placement<'_>,
    shape: &Shape,
    created: &Created,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Started, PlaceError> {
    let mut start = Start {
        client,
        placement,
        shape,
        created,
        progress,
        last: String::new(),
    };
    start.run().await
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

/// Pod that no node accepts now.
struct Unschedulable {
    /// Message of the scheduler.
    message: String,
    /// The same with what the nodes show.
    words: String,
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
    async fn run(&mut self) -> Result<Started, PlaceError> {
        let mut pods = self.pods();
        let mut refusals = self.refusals();
        let mut give_up = Instant::now() + START_PATIENCE;
        let mut unschedulable: Option<Unschedulable> = None;
        let mut has_node = false;
        let mut dry_run: Option<Instant> = None;
        let mut judge = Judge::default();
        let (mut seen, mut failures) = (false, 0);
        loop {
            tokio::select! {
                listed = pods.next() => {
                    let listed = match listed {
                        Ok(listed) => { failures = 0; listed }
                        Err(error) if error.is_passing() && failures < FAILURES => { failures += 1; continue }
                        Err(error) => return Err(refusal::of(error, &self.placement.namespace, &self.shape.demands)),
                    };
                    let Some(pod) = self.ours(listed) else {
                        if seen { return Err(PlaceError::Gone) }
                        self.report("no pod yet");
                        continue;
                    };
                    if self.shape.processes == Processes::Own && has_other_containers(pod) {
                        return Ok(Started::OtherContainers);
                    }
                    let pod = pod.clone();
                    seen = true;
                    dry_run = None;
                    if !has_node && pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some()) {
                        has_node = true;
                        give_up = Instant::now() + START_PATIENCE;
                    }
                    unschedulable = match judge.judge(&pod) {
                        Step::Running => return Ok(Started::Running(Box::new(pod))),
                        Step::Failed(error) => return Err(error),
                        Step::Waiting(reason) => { self.report(&reason); None }
                        Step::Unschedulable(message) => {
                            let known = unschedulable.take().filter(|known| known.message == message);
                            let known = match known {
                                Some(known) => known,
                                None => Unschedulable {
                                    words: nodes::in_words(self.client, message.clone()).await,
                                    message,
                                },
                            };
                            self.report(&format!("Unschedulable{}", told(&known.words)));
                            Some(known)
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
                () = sleep_until(give_up) => return Err(match unschedulable {
                    Some(Unschedulable { words, .. }) => PlaceError::Unschedulable { message: words },
                    None => PlaceError::TooSlow {
                        waited: START_PATIENCE,
                        last: std::mem::take(&mut self.last),
                    },
                }),
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
        // The default service account of a new namespace comes a moment after the namespace.
        let account_is_missing = says("error looking up service account");
        if final_word && !(account_is_missing && self.placement.settings.service_account.is_none()) {
            let namespace = &self.placement.namespace;
            return Some(refusal::of_message(message, namespace, &self.shape.demands));
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
