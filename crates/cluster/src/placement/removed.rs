//! Watch for the end of an agent, and its reason.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::Api;
use slipway_control_api::AgentEnd;
use tokio::time::sleep;

use super::{AgentPod, start};
use crate::watch::{Follow, Selection};
use slipway_api_server::request::ApiError;

/// Pause after a failed request.
const RETRY_PAUSE: Duration = Duration::from_secs(2);

/// Waits until the agent's pod is gone or no longer runs, or its program has ended, and returns which. Keeps waiting while
/// the API server cannot be reached or does not accept the login.
///
/// The cluster removes an ended agent at once, so a caller that wants to know more than [`AgentEnd::Deleted`] starts to
/// wait while the agent runs.
///
/// # Errors
/// Returns [`ApiError::Forbidden`] without the permission to list or watch pods.
pub async fn watch_end(client: &Client, agent: &AgentPod) -> Result<AgentEnd, ApiError> {
    let selection = Selection {
        labels: None,
        fields: Some(format!("metadata.name={}", agent.pod)),
    };
    let pods = Api::<Pod>::namespaced(client.clone(), &agent.namespace);
    let mut pods = Follow::new(pods, &agent.namespace, "pods", selection);
    loop {
        match pods.next().await {
            Ok(listed) => {
                if let Some(end) = end(listed, agent) {
                    return Ok(end);
                }
            }
            Err(error @ ApiError::Forbidden { .. }) => return Err(error),
            Err(error) => {
                tracing::debug!(%error, "cannot watch the agent's pod; trying again");
                sleep(RETRY_PAUSE).await;
            }
        }
    }
}

/// Reason that the kubelet gives for a container that the kernel killed for lack of memory.
const OUT_OF_MEMORY: &str = "OOMKilled";

fn end(listed: &BTreeMap<String, Pod>, agent: &AgentPod) -> Option<AgentEnd> {
    let Some(pod) = listed
        .get(&agent.pod)
        .filter(|pod| pod.metadata.uid.as_ref() == Some(&agent.uid))
    else {
        return Some(AgentEnd::Deleted);
    };
    if let Some(ended) = start::last_termination(pod) {
        let reason = ended.reason.clone().unwrap_or_default();
        return Some(if reason == OUT_OF_MEMORY {
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
        return Some(AgentEnd::Evicted {
            reason: status.reason.clone().unwrap_or_default(),
            message: status.message.clone().unwrap_or_default(),
        });
    }
    pod.metadata
        .deletion_timestamp
        .is_some()
        .then_some(AgentEnd::Deleted)
}
