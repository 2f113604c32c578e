//! Watch for the end of an agent, and its reason.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::Api;
use slipway_control_api::AgentEnd;
use tokio::sync::watch;
use tokio::time::sleep;

use super::{AgentPod, start};
use crate::watch::{Follow, Selection};
use slipway_api_server::request::ApiError;

/// Pause after a failed request.
const RETRY_PAUSE: Duration = Duration::from_secs(2);

/// Follows an agent until it has ended or its pod is gone, and sends how. A pod that is being deleted counts as deleted
/// first; if its program has ended by the time it is gone, that is sent after it. Keeps watching while the API server cannot
/// be reached or does not accept the login.
///
/// The cluster removes an ended agent at once, so a caller that wants to know more than [`AgentEnd::Deleted`] starts to
/// watch while the agent runs.
///
/// # Errors
/// Returns [`ApiError::Forbidden`] without the permission to list or watch pods.
pub async fn watch_end(
    client: &Client,
    agent: &AgentPod,
    end: &watch::Sender<Option<AgentEnd>>,
) -> Result<(), ApiError> {
    let selection = Selection {
        labels: None,
        fields: Some(format!("metadata.name={}", agent.pod)),
    };
    let pods = Api::<Pod>::namespaced(client.clone(), &agent.namespace);
    let mut pods = Follow::new(pods, &agent.namespace, "pods", selection);
    loop {
        match pods.next().await {
            Ok(listed) => match fate(listed, agent) {
                Fate::Runs => {}
                Fate::IsDeleted => {
                    end.send_replace(Some(AgentEnd::Deleted));
                }
                Fate::Ended(ended) => {
                    end.send_replace(Some(ended));
                    return Ok(());
                }
            },
            Err(error @ ApiError::Forbidden { .. }) => return Err(error),
            Err(error) => {
                tracing::debug!(%error, "cannot watch the agent's pod; trying again");
                sleep(RETRY_PAUSE).await;
            }
        }
    }
}

enum Fate {
    Runs,
    /// The pod is being deleted, and its program may still run.
    IsDeleted,
    Ended(AgentEnd),
}

/// Reason that the kubelet gives for a container that the kernel killed for lack of memory.
const OUT_OF_MEMORY: &str = "OOMKilled";

fn fate(listed: &BTreeMap<String, Pod>, agent: &AgentPod) -> Fate {
    let Some(pod) = listed
        .get(&agent.pod)
        .filter(|pod| pod.metadata.uid.as_ref() == Some(&agent.uid))
    else {
        return Fate::Ended(AgentEnd::Deleted);
    };
    if let Some(ended) = start::last_termination(pod) {
        let reason = ended.reason.clone().unwrap_or_default();
        return Fate::Ended(if reason == OUT_OF_MEMORY {
            AgentEnd::OutOfMemory {
                limit: start::memory_limit(pod),
            }
        } else {
            AgentEnd::Ended {
                exit_code: ended.exit_code,
                reason,
            }
        });
    }
    if let Some(status) = pod
        .status
        .as_ref()
        .filter(|status| status.phase.as_deref() == Some("Failed"))
    {
        return Fate::Ended(AgentEnd::Evicted {
            reason: status.reason.clone().unwrap_or_default(),
            message: status.message.clone().unwrap_or_default(),
        });
    }
    if pod.metadata.deletion_timestamp.is_some() {
        Fate::IsDeleted
    } else {
        Fate::Runs
    }
}
