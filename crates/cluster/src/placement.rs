//! Life of an agent pod in a namespace: start, find, watch, remove.
//!
//! ```text
//! place    create Job (bare pod where Jobs are forbidden) -> pod runs and waits -> exec: binary and key -> agent runs
//! find     a running pod with the session's label, which a restarted session uses again
//! remove   the Job and its pod; without a client, the cluster removes the Job 2 s after the agent has ended
//! ```
//!
//! The pod needs nothing: no service-account token, no capability, and a read-only root file system, as in the
//! [restricted](https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted) Pod Security Standard.
//! Its specification contains the SHA-256 of the session's key; one `pods/exec` sends binary and key together. If the
//! laptop goes away before that, the pod ends itself, at the latest after [`UPLOAD_BEGINS`].

use std::net::IpAddr;
use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use kube::{Client, ResourceExt};
use uuid::Uuid;

pub use cleanup::{Leftover, LeftoverKind, STUCK_AFTER, cleanup, leftovers};
pub use error::{PlaceError, UploadError};
pub use manifest::{
    AGENT_CONTAINER, AGENT_FOLDER, AGENT_IN_IMAGE, AGENT_PORT, DEFAULT_IMAGE, UPLOAD_BEGINS, UPLOAD_GRACE,
    grace_of, image_of,
};
pub use removed::watch_end;

use shape::Shape;
use slipway_api_server::request::{Access, ApiError, ask};
use slipway_key::Key;
use slipway_profile::AgentSettings;
use start::Started;

mod cleanup;
mod compliance;
mod error;
mod manifest;
mod nodes;
mod refusal;
mod removed;
mod resources;
mod shape;
mod start;
#[cfg(test)]
mod tests;
mod upload;

/// Limit of the wait for a node that accepts the pod, and then of the wait for the pod to run, including an image pull.
/// Autoscalers take up to 100 s for a node.
pub const START_PATIENCE: Duration = Duration::from_secs(120);

/// Number of shapes of a pod that one placement tries: more than there are rules that it can meet.
const SHAPES: usize = 12;

/// Description of an agent to place.
#[derive(Debug, Clone)]
pub struct Placement<'a> {
    /// Namespace of the session.
    pub namespace: String,
    /// Identity of the session; becomes the label `slipway.dev/session`.
    pub session: Uuid,
    /// Image, grace, labels and further settings of the agent's pod. The image may be any with a POSIX shell, `head`,
    /// `mkfifo` and `timeout`.
    pub settings: &'a AgentSettings,
    /// Key with which session and agent prove their identity to each other.
    pub key: Key,
    /// Program of the agent, static, for linux/amd64. Not sent if the image contains one at [`AGENT_IN_IMAGE`].
    pub binary: &'a [u8],
}

/// Returns a command that starts the agent's program in its container a second time, wherever that program is.
#[must_use]
pub fn agent_command(arguments: &[&str]) -> Vec<String> {
    let find = format!(
        "for p in {AGENT_IN_IMAGE} {AGENT_FOLDER}/agent; do [ -x $p ] && exec $p \"$@\"; done; exit 127"
    );
    let shell = ["/bin/sh", "-c", &find, "agent"];
    shell
        .iter()
        .chain(arguments)
        .map(|word| (*word).to_owned())
        .collect()
}

/// Progress of a placement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// The Job, or the bare pod, is being created.
    Creating,
    /// It was created. A caller that drops the placement from now on leaves it, and can remove it.
    Created(Created),
    /// The pod exists but does not run yet.
    WaitingForPod {
        /// State of the pod, in the cluster's words: `Scheduling`, `ContainerCreating`, ...
        reason: String,
    },
    /// The agent's program is being sent to the pod.
    Uploading {
        /// Number of bytes written to the connection.
        sent: usize,
        /// Number of bytes in all.
        total: usize,
    },
    /// The agent runs.
    Started,
}

/// A pod with an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentPod {
    /// The namespace.
    pub namespace: String,
    /// Name of the pod, to which carriers connect.
    pub pod: String,
    /// UID of the pod: another pod of the same name is another agent.
    pub uid: String,
    /// Owner of the pod.
    pub owner: Owner,
    /// Node on which the pod runs.
    pub node: Option<String>,
    /// Addresses of the pod, the primary one first.
    pub addresses: Vec<IpAddr>,
}

/// Owner of an agent pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// A Job of this name; the cluster removes Job and pod when the agent has ended.
    Job(String),
    /// None, because Jobs are forbidden in the namespace. The ended pod stays until it is removed.
    Bare,
}

/// Places an agent, and returns when it runs. On failure, the created objects are removed again.
///
/// If the future is dropped, the pod ends by itself, but not before it has a node; [`remove_created`] removes it.
///
/// # Errors
/// Returns [`PlaceError`] with what the cluster refused, and the reason.
pub async fn place(
    client: &Client,
    placement: &Placement<'_>,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<AgentPod, PlaceError> {
    let mut shape = Shape::default();
    let mut tried = 0;
    loop {
        tried += 1;
        let refused = match attempt(client, placement, &shape, progress).await {
            Ok(Attempt::Placed(agent)) => return Ok(agent),
            Ok(Attempt::OtherContainers) => {
                tracing::info!(
                    "the cluster adds containers to the agent's pod; trying a pod that ends with its agent"
                );
                shape = shape.shared();
                continue;
            }
            Err(refused) => refused,
        };
        // Each attempt meets one more rule of the namespace. One whose rules change all the time ends the loop too.
        let Some(next) = shape.adapted_to(&refused).filter(|_| tried < SHAPES) else {
            return Err(refused);
        };
        tracing::info!(%refused, "the namespace refused the agent; trying another manifest");
        shape = next;
    }
}

/// Finds the running pod of a session, for a restarted session. Only a carrier shows whether an agent runs in it: a
/// session that died during the upload leaves a pod that still waits. In that case, [`remove`] it and [`place`] a new
/// one.
///
/// # Errors
/// Returns [`ApiError`] if pods cannot be listed.
pub async fn find(client: &Client, namespace: &str, session: Uuid) -> Result<Option<AgentPod>, ApiError> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let selector = ListParams::default().labels(&manifest::selector(session));
    let found = ask(
        Access::within(namespace, "list", "", "pods"),
        pods.list(&selector),
    )
    .await?;
    let running = |pod: &Pod| pod.metadata.deletion_timestamp.is_none() && start::is_running(pod);
    Ok(found
        .items
        .iter()
        .find(|pod| running(pod))
        .and_then(AgentPod::from_pod))
}

/// Removes an agent: its Job and its pod. A missing one is no error.
///
/// # Errors
/// Returns [`ApiError`] if the removal is refused.
pub async fn remove(client: &Client, agent: &AgentPod) -> Result<(), ApiError> {
    let created = match &agent.owner {
        Owner::Job(name) => Created::Job(name.clone()),
        Owner::Bare => Created::Pod(agent.pod.clone()),
    };
    remove_created(client, &agent.namespace, &created).await
}

/// Object that a placement has created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created {
    /// The Job of this name.
    Job(String),
    /// The bare pod of this name.
    Pod(String),
}

/// Outcome of an attempt that no rule refused.
enum Attempt {
    Placed(AgentPod),
    /// The cluster added containers that would outlive the agent.
    OtherContainers,
}

async fn attempt(
    client: &Client,
    placement: &Placement<'_>,
    shape: &Shape,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Attempt, PlaceError> {
    progress(Progress::Creating);
    let created = create(client, placement, shape)
        .await
        .map_err(|error| refusal::of(error, &placement.namespace, &shape.demands))?;
    progress(Progress::Created(created.clone()));
    let running = start_and_upload(client, placement, shape, &created, progress).await;
    if !matches!(running, Ok(Attempt::Placed(_)))
        && let Err(error) = remove_created(client, &placement.namespace, &created).await
    {
        tracing::warn!(%error, ?created, "could not remove the objects of a failed placement; they end by themselves");
    }
    running
}

async fn create(client: &Client, placement: &Placement<'_>, shape: &Shape) -> Result<Created, ApiError> {
    let namespace = &placement.namespace;
    let jobs: Api<Job> = Api::namespaced(client.clone(), namespace);
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let params = PostParams::default();

    let job = manifest::job(placement, shape);
    let forbidden = match ask(
        Access::within(namespace, "create", "batch", "jobs"),
        jobs.create(&params, &job),
    )
    .await
    {
        Ok(job) => return Ok(Created::Job(job.name_any())),
        Err(error @ ApiError::Forbidden { .. }) => error,
        Err(error) => return Err(error),
    };
    let pod = manifest::pod(placement, shape);
    match ask(
        Access::within(namespace, "create", "", "pods"),
        pods.create(&params, &pod),
    )
    .await
    {
        Ok(pod) => Ok(Created::Pod(pod.name_any())),
        // Report the Job: it is the permission to ask the administrator for.
        Err(ApiError::Forbidden { .. }) => Err(forbidden),
        Err(error) => Err(error),
    }
}

async fn start_and_upload(
    client: &Client,
    placement: &Placement<'_>,
    shape: &Shape,
    created: &Created,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Attempt, PlaceError> {
    let pod = match start::wait(client, placement, shape, created, progress).await? {
        Started::Running(pod) => pod,
        Started::OtherContainers => return Ok(Attempt::OtherContainers),
    };
    let agent = AgentPod::from_pod(&pod).ok_or(PlaceError::Gone)?;
    upload::upload(client, &agent, placement, progress).await?;
    progress(Progress::Started);
    Ok(Attempt::Placed(agent))
}

/// Removes an object that a placement has created, with its pod. A missing one is no error.
///
/// # Errors
/// Returns [`ApiError`] if the removal is refused.
pub async fn remove_created(client: &Client, namespace: &str, created: &Created) -> Result<(), ApiError> {
    let deleted = match created {
        Created::Job(name) => {
            let jobs: Api<Job> = Api::namespaced(client.clone(), namespace);
            // Background deletion lets the garbage collector remove the pod; without a policy, a Job's pods would stay.
            let params = DeleteParams::background();
            ask(
                Access::within(namespace, "delete", "batch", "jobs"),
                jobs.delete(name, &params),
            )
            .await
            .map(drop)
        }
        Created::Pod(name) => {
            let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
            let params = DeleteParams::default();
            ask(
                Access::within(namespace, "delete", "", "pods"),
                pods.delete(name, &params),
            )
            .await
            .map(drop)
        }
    };
    match deleted {
        Err(ApiError::NotFound { .. }) => Ok(()),
        other => other,
    }
}

impl AgentPod {
    /// Reads an agent pod; `None` if the API server left out a field that every pod has.
    fn from_pod(pod: &Pod) -> Option<Self> {
        let owners = pod.metadata.owner_references.as_deref().unwrap_or_default();
        let job = owners.iter().find(|owner| owner.kind == "Job");
        let status = pod.status.as_ref();
        let listed = status
            .and_then(|status| status.pod_ips.as_deref())
            .unwrap_or_default();
        let primary = status.and_then(|status| status.pod_ip.as_deref());
        let mut addresses: Vec<IpAddr> = primary.iter().filter_map(|ip| ip.parse().ok()).collect();
        for address in listed.iter().filter_map(|ip| ip.ip.parse().ok()) {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        Some(Self {
            namespace: pod.metadata.namespace.clone()?,
            pod: pod.metadata.name.clone()?,
            uid: pod.metadata.uid.clone()?,
            owner: job.map_or(Owner::Bare, |job| Owner::Job(job.name.clone())),
            node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
            addresses,
        })
    }
}
