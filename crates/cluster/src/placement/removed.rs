//! Watch for the end of an agent, and its reason.

use std::collections::BTreeMap;
use std::fmt;
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

/// Reason for which an agent is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gone {
    /// The pod was deleted or is being deleted.
    Deleted,
    /// The agent's process ended.
    Ended {
        /// Exit code; 137 is a kill, often for lack of memory.
        exit_code: i32,
        /// `Completed`, `Error`, `OOMKilled`, ...
        reason: String,
    },
    /// The node evicted the pod.
    Evicted {
        /// `Evicted`, `Preempting`, `NodeShutdown`, ...
        reason: String,
        /// Message of the node.
        message: String,
    },
}

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deleted => f.write_str("the agent's pod was deleted"),
            Self::Ended { exit_code, reason } => {
                write!(f, "the agent ended ({reason}, exit code {exit_code})")
            }
            Self::Evicted { reason, message } => {
                write!(f, "the node evicted the agent's pod ({reason}): {message}")
            }
        }
    }
}

/// Returns when the agent's pod is gone or no longer runs. Keeps waiting while the API server cannot be reached or does
/// not accept the login.
///
/// # Errors
/// Returns [`ApiError::Forbidden`] without the permission to list or watch pods.
pub async fn watch_gone(client: &Client, agent: &AgentPod) -> Result<Gone, ApiError> {
    watch(client, agent, gone).await
}

/// Waits until the cluster tells how the agent ended: its pod, or the last run of its program.
///
/// # Errors
/// As [`watch_gone`].
pub async fn watch_end(client: &Client, agent: &AgentPod) -> Result<AgentEnd, ApiError> {
    watch(client, agent, end).await
}

async fn watch<T>(
    client: &Client,
    agent: &AgentPod,
    judge: impl Fn(&BTreeMap<String, Pod>, &AgentPod) -> Option<T>,
) -> Result<T, ApiError> {
    let selection = Selection {
        labels: None,
        fields: Some(format!("metadata.name={}", agent.pod)),
    };
    let pods = Api::<Pod>::namespaced(client.clone(), &agent.namespace);
    let mut pods = Follow::new(pods, &agent.namespace, "pods", selection);
    loop {
        match pods.next().await {
            Ok(listed) => {
                if let Some(found) = judge(listed, agent) {
                    return Ok(found);
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
    let pod = listed
        .get(&agent.pod)
        .filter(|pod| pod.metadata.uid.as_ref() == Some(&agent.uid));
    let ended = pod.and_then(start::last_termination);
    if let Some(ended) = ended.filter(|ended| ended.reason.as_deref() == Some(OUT_OF_MEMORY)) {
        tracing::debug!(
            exit_code = ended.exit_code,
            "the agent was killed for lack of memory"
        );
        return Some(AgentEnd::OutOfMemory {
            limit: pod.and_then(start::memory_limit),
        });
    }
    if let Some(ended) = ended {
        return Some(AgentEnd::Ended {
            exit_code: ended.exit_code,
            reason: ended.reason.clone().unwrap_or_default(),
        });
    }
    Some(match gone(listed, agent)? {
        Gone::Deleted => AgentEnd::Deleted,
        Gone::Ended { exit_code, reason } => AgentEnd::Ended { exit_code, reason },
        Gone::Evicted { reason, message } => AgentEnd::Evicted { reason, message },
    })
}

fn gone(listed: &BTreeMap<String, Pod>, agent: &AgentPod) -> Option<Gone> {
    let Some(pod) = listed
        .get(&agent.pod)
        .filter(|pod| pod.metadata.uid.as_ref() == Some(&agent.uid))
    else {
        return Some(Gone::Deleted);
    };
    if let Some(ended) = start::termination(pod) {
        let reason = ended.reason.clone().unwrap_or_default();
        return Some(Gone::Ended {
            exit_code: ended.exit_code,
            reason,
        });
    }
    if let Some(status) = pod
        .status
        .as_ref()
        .filter(|status| status.phase.as_deref() == Some("Failed"))
    {
        let reason = status.reason.clone().unwrap_or_default();
        return Some(Gone::Evicted {
            reason,
            message: status.message.clone().unwrap_or_default(),
        });
    }
    pod.metadata.deletion_timestamp.is_some().then_some(Gone::Deleted)
}
