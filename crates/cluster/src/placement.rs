//! One agent pod in a namespace: put there, found again, watched, removed.
//!
//! ```text
//! place    create Job (bare pod where Jobs are forbidden) -> pod runs and waits -> exec: binary and key -> agent runs
//! find     a pod with the session's label that runs: a restarted session goes on with it
//! remove   the Job and its pod; without us the Job goes by itself 2 s after the agent ended
//! ```
//!
//! The pod asks for nothing: no service-account token, no capability, a read-only root file system, the
//! [restricted](https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted) Pod Security
//! Standard. Its specification shows the SHA-256 of the session's key; binary and key travel together by one
//! `pods/exec`. A pod whose laptop went away before that ends itself, at the latest after [`UPLOAD_BEGINS`].

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
};
pub use removed::{Gone, watch_gone};

use crate::api::{Access, ApiError, ask};
use slipway_key::Key;

mod cleanup;
mod error;
mod manifest;
mod refusal;
mod removed;
mod start;
#[cfg(test)]
mod tests;
mod upload;

/// How long a pod may take until it runs: an image pull included.
pub const START_PATIENCE: Duration = Duration::from_secs(120);

/// What is to be placed.
#[derive(Debug, Clone)]
pub struct Placement<'a> {
    /// The namespace that the session is to be in.
    pub namespace: String,
    /// The session's identity; becomes the label `slipway.dev/session`.
    pub session: Uuid,
    /// The container image: anything with a POSIX shell, `head`, `mkfifo` and `timeout`.
    pub image: String,
    /// How long the agent goes on without a client before it ends itself.
    pub grace: Duration,
    /// The key that session and agent prove to each other.
    pub key: Key,
    /// The agent's program, static, for linux/amd64. Not sent where the image holds one at [`AGENT_IN_IMAGE`].
    pub binary: &'a [u8],
}

/// A command that runs the agent's program in its container once more, wherever that program is.
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

/// How far a placement is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// The Job, or the bare pod, is being created.
    Creating,
    /// The pod is there and does not run yet.
    WaitingForPod {
        /// What it waits for, in the cluster's words: `Scheduling`, `ContainerCreating`, ...
        reason: String,
    },
    /// The agent's program is on its way into the pod.
    Uploading {
        /// Bytes handed to the connection.
        sent: usize,
        /// Bytes in all.
        total: usize,
    },
    /// The agent runs.
    Started,
}

/// One agent pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentPod {
    /// The namespace.
    pub namespace: String,
    /// The pod's name: what carriers connect to.
    pub pod: String,
    /// The pod's UID: another pod of the same name is another agent.
    pub uid: String,
    /// What made the pod.
    pub owner: Owner,
    /// The node that it runs on.
    pub node: Option<String>,
    /// The pod's addresses, the primary one first.
    pub addresses: Vec<IpAddr>,
}

/// What made an agent pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// A Job of this name; the cluster removes Job and pod when the agent ended.
    Job(String),
    /// Nobody: Jobs are forbidden here. The ended pod stays until it is removed.
    Bare,
}

/// Places an agent and returns when it runs. On failure, what was created is removed again.
///
/// Dropping the future leaves the pod to end by itself.
///
/// # Errors
/// [`PlaceError`]: what the cluster refused, and why.
pub async fn place(
    client: &Client,
    placement: &Placement<'_>,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<AgentPod, PlaceError> {
    let mut shape = manifest::Shape::default();
    loop {
        let refused = match attempt(client, placement, &shape, progress).await {
            Ok(agent) => return Ok(agent),
            Err(refused) => refused,
        };
        // Each round meets one more wish of the cluster's, so there is an end.
        let Some(next) = shape.with_what_is_wanted(&refused) else {
            return Err(refused);
        };
        tracing::info!(%refused, "placing the agent once more, as this namespace wants it");
        shape = next;
    }
}

/// Finds the running pod of a session, for a restarted session to go on with. Whether an agent is in it shows when a
/// carrier connects: a session that died during the upload has left a pod that still waits. Then [`remove`] it and
/// [`place`] anew.
///
/// # Errors
/// [`ApiError`] where pods cannot be listed.
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

/// Removes an agent: its Job and its pod. One that is gone already is no error.
///
/// # Errors
/// [`ApiError`] where deleting is refused.
pub async fn remove(client: &Client, agent: &AgentPod) -> Result<(), ApiError> {
    let created = match &agent.owner {
        Owner::Job(name) => Created::Job(name.clone()),
        Owner::Bare => Created::Pod(agent.pod.clone()),
    };
    remove_created(client, &agent.namespace, &created).await
}

/// What a placement has created.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Created {
    Job(String),
    Pod(String),
}

async fn attempt(
    client: &Client,
    placement: &Placement<'_>,
    shape: &manifest::Shape,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<AgentPod, PlaceError> {
    progress(Progress::Creating);
    let created = create(client, placement, shape)
        .await
        .map_err(|error| refusal::of(error, &placement.namespace))?;
    let running = start_and_upload(client, placement, shape, &created, progress).await;
    if running.is_err()
        && let Err(error) = remove_created(client, &placement.namespace, &created).await
    {
        tracing::warn!(%error, ?created, "what was created for a failed placement stays until it ends by itself");
    }
    running
}

async fn create(
    client: &Client,
    placement: &Placement<'_>,
    shape: &manifest::Shape,
) -> Result<Created, ApiError> {
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
        // Of the two ways, the Job is the one to ask the administrator for.
        Err(ApiError::Forbidden { .. }) => Err(forbidden),
        Err(error) => Err(error),
    }
}

async fn start_and_upload(
    client: &Client,
    placement: &Placement<'_>,
    shape: &manifest::Shape,
    created: &Created,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<AgentPod, PlaceError> {
    let pod = start::wait(client, placement, shape, created, progress).await?;
    let agent = AgentPod::from_pod(&pod).ok_or(PlaceError::Gone)?;
    upload::upload(client, &agent, placement, progress).await?;
    progress(Progress::Started);
    Ok(agent)
}

async fn remove_created(client: &Client, namespace: &str, created: &Created) -> Result<(), ApiError> {
    let deleted = match created {
        Created::Job(name) => {
            let jobs: Api<Job> = Api::namespaced(client.clone(), namespace);
            // Background: the garbage collector takes the pod; without a policy, a Job's pods would stay.
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
    /// `None` where the API server left out what every pod has.
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
