//! Leftovers of agents, and their removal.
//!
//! A running agent is never a leftover: it may belong to a colleague, and it ends itself without a client. Leftovers are
//! ended agents, also in pods in which containers that the cluster added still run, and objects that never ran.

use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};
use serde::Serialize;

use super::manifest::{NAME, NAME_LABEL, SESSION_LABEL};
use super::{Created, remove_created, start};
use slipway_api_server::request::{Access, ApiError, ask};

/// Age from which on an agent that does not run is stuck: much longer than [`START_PATIENCE`](super::START_PATIENCE) and
/// [`UPLOAD_GRACE`](super::UPLOAD_GRACE).
pub const STUCK_AFTER: Duration = Duration::from_secs(600);

/// Kind of a leftover.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum LeftoverKind {
    /// A Job, with its pod.
    Job,
    /// A bare pod.
    Pod,
}

/// Object that no session needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Leftover {
    /// Kind of the object.
    pub kind: LeftoverKind,
    /// Name of the object.
    pub name: String,
    /// Session that created it, from its label.
    pub session: Option<String>,
    /// Age in seconds.
    pub age_seconds: u64,
    /// Whether it ended; otherwise it never ran.
    pub ended: bool,
}

/// Lists the leftovers in a namespace.
///
/// # Errors
/// Returns [`ApiError`] if pods cannot be listed. A user who may not list Jobs cannot have created one.
pub async fn leftovers(client: &Client, namespace: &str) -> Result<Vec<Leftover>, ApiError> {
    let selector = ListParams::default().labels(&format!("{NAME_LABEL}={NAME}"));
    let jobs: Api<Job> = Api::namespaced(client.clone(), namespace);
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let (jobs, pods) = tokio::join!(
        ask(
            Access::within(namespace, "list", "batch", "jobs"),
            jobs.list(&selector)
        ),
        ask(
            Access::within(namespace, "list", "", "pods"),
            pods.list(&selector)
        ),
    );
    let jobs = match jobs {
        Ok(jobs) => jobs.items,
        Err(ApiError::Forbidden { .. }) => Vec::new(),
        Err(error) => return Err(error),
    };
    Ok(sift(&jobs, &pods?.items, Timestamp::now()))
}

/// Removes the leftovers in a namespace, and returns them.
///
/// # Errors
/// Returns the first [`ApiError`]; objects that were removed before it stay removed.
pub async fn cleanup(client: &Client, namespace: &str) -> Result<Vec<Leftover>, ApiError> {
    let found = leftovers(client, namespace).await?;
    for leftover in &found {
        let created = match leftover.kind {
            LeftoverKind::Job => Created::Job(leftover.name.clone()),
            LeftoverKind::Pod => Created::Pod(leftover.name.clone()),
        };
        remove_created(client, namespace, &created).await?;
    }
    Ok(found)
}

fn sift(jobs: &[Job], pods: &[Pod], now: Timestamp) -> Vec<Leftover> {
    let stuck_after = STUCK_AFTER.as_secs();
    let of_job = |pod: &Pod, name: &str| {
        pod.metadata
            .owner_references
            .iter()
            .flatten()
            .any(|owner| owner.kind == "Job" && owner.name == name)
    };
    let ended = |pod: &Pod| {
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        matches!(phase, Some("Succeeded" | "Failed")) || start::termination(pod).is_some()
    };
    let jobs = jobs.iter().filter_map(|job| {
        let name = job.name_any();
        let finished = job.status.as_ref().is_some_and(|status| {
            status.conditions.iter().flatten().any(|condition| {
                condition.status == "True" && matches!(condition.type_.as_str(), "Complete" | "Failed")
            })
        });
        let own = || pods.iter().filter(|pod| of_job(pod, &name));
        let runs = own().any(start::is_running);
        let leftover = leftover(
            LeftoverKind::Job,
            &job.metadata,
            finished || own().any(ended),
            now,
        )?;
        let stuck = leftover.age_seconds >= stuck_after;
        (!runs && (leftover.ended || stuck)).then_some(leftover)
    });
    let pods = pods.iter().filter_map(|pod| {
        if pod.metadata.owner_references.iter().flatten().next().is_some() {
            return None;
        }
        let leftover = leftover(LeftoverKind::Pod, &pod.metadata, ended(pod), now)?;
        let stuck = !start::is_running(pod) && leftover.age_seconds >= stuck_after;
        (leftover.ended || stuck).then_some(leftover)
    });
    jobs.chain(pods).collect()
}

/// Describes an object; `None` if it is being deleted.
fn leftover(kind: LeftoverKind, metadata: &ObjectMeta, ended: bool, now: Timestamp) -> Option<Leftover> {
    if metadata.deletion_timestamp.is_some() {
        return None;
    }
    let age = metadata
        .creation_timestamp
        .as_ref()
        .map_or(0, |Time(created)| now.duration_since(*created).as_secs());
    Some(Leftover {
        kind,
        name: metadata.name.clone()?,
        session: metadata
            .labels
            .as_ref()
            .and_then(|labels| labels.get(SESSION_LABEL).cloned()),
        age_seconds: u64::try_from(age).unwrap_or(0),
        ended,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NOW: &str = "2026-01-01T12:00:00Z";
    const OLD: &str = "2026-01-01T11:49:00Z";
    const YOUNG: &str = "2026-01-01T11:58:00Z";

    fn object<K: serde::de::DeserializeOwned>(value: Value) -> K {
        serde_json::from_value(value).unwrap()
    }

    fn job(name: &str, created: &str) -> Job {
        object(json!({"metadata": {"name": name, "creationTimestamp": created}}))
    }

    fn pod(name: &str, created: &str, phase: &str, owner: Option<&str>) -> Pod {
        let owners =
            owner.map(|owner| json!([{"apiVersion": "batch/v1", "kind": "Job", "name": owner, "uid": "j"}]));
        let state = if phase == "Running" {
            json!({"running": {}})
        } else {
            json!({"waiting": {}})
        };
        object(json!({
            "metadata": {"name": name, "creationTimestamp": created, "ownerReferences": owners,
                         "labels": {SESSION_LABEL: "s1"}},
            "status": {"phase": phase, "containerStatuses": [
                {"name": "agent", "image": "", "imageID": "", "ready": true, "restartCount": 0, "state": state},
            ]},
        }))
    }

    fn names(jobs: &[Job], pods: &[Pod]) -> Vec<String> {
        sift(jobs, pods, NOW.parse().unwrap())
            .into_iter()
            .map(|leftover| leftover.name)
            .collect()
    }

    #[test]
    fn a_running_agent_is_never_a_leftover() {
        let pods = [
            pod("a-1", OLD, "Running", Some("a")),
            pod("bare", OLD, "Running", None),
        ];
        assert_eq!(names(&[job("a", OLD)], &pods), [""; 0]);
    }

    #[test]
    fn an_ended_bare_pod_is_left_over_at_once() {
        let found = sift(
            &[],
            &[pod("bare", YOUNG, "Succeeded", None)],
            NOW.parse().unwrap(),
        );
        assert_eq!(
            found,
            [Leftover {
                kind: LeftoverKind::Pod,
                name: "bare".to_owned(),
                session: Some("s1".to_owned()),
                age_seconds: 120,
                ended: true,
            }]
        );
    }

    #[test]
    fn a_starting_agent_is_kept_until_it_is_stuck() {
        let pods = [
            pod("a-1", YOUNG, "Pending", Some("a")),
            pod("bare", YOUNG, "Pending", None),
        ];
        assert_eq!(names(&[job("a", YOUNG)], &pods), [""; 0]);
        let pods = [
            pod("a-1", OLD, "Pending", Some("a")),
            pod("bare", OLD, "Pending", None),
        ];
        assert_eq!(names(&[job("a", OLD)], &pods), ["a", "bare"]);
    }

    #[test]
    fn an_ended_agent_beside_a_running_container_is_left_over() {
        let beside = |mut pod: Pod| {
            let statuses = pod.status.as_mut().unwrap().container_statuses.as_mut().unwrap();
            let mut other = statuses[0].clone();
            other.name = "istio-proxy".to_owned();
            statuses[0].state = object(json!({"terminated": {"exitCode": 0}}));
            statuses.push(other);
            pod
        };
        let pods = [
            beside(pod("a-1", YOUNG, "Running", Some("a"))),
            beside(pod("bare", YOUNG, "Running", None)),
        ];
        assert_eq!(names(&[job("a", YOUNG)], &pods), ["a", "bare"]);
    }

    #[test]
    fn a_jobs_pod_is_not_listed_beside_its_job() {
        assert_eq!(
            names(&[job("a", OLD)], &[pod("a-1", OLD, "Succeeded", Some("a"))]),
            ["a"]
        );
    }

    #[test]
    fn an_object_being_deleted_is_not_listed() {
        let mut pod = pod("bare", OLD, "Failed", None);
        pod.metadata.deletion_timestamp = Some(Time(NOW.parse().unwrap()));
        assert_eq!(names(&[], &[pod]), [""; 0]);
    }
}
