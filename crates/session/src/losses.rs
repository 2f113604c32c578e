//! Losses of agents, which the status remembers for an hour.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use slipway_cluster::placement::AgentPod;
use slipway_control::Publisher;
use slipway_control_api::AgentLoss;
use tokio::task::JoinSet;

use crate::cluster::Cluster;

/// Limit of the wait for the cluster to tell how an agent ended.
const END_KNOWN_WITHIN: Duration = Duration::from_secs(15);

/// Age at which a loss is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(3600);

/// Maximum number of remembered losses. The oldest is forgotten first.
const MOST: usize = 16;

/// Tasks that complete the losses in the status, and remove them in time. Dropping this ends them.
#[derive(Debug, Default)]
pub(crate) struct Losses(JoinSet<()>);

impl Losses {
    /// Records that an agent was lost now, with this number of connections.
    pub(crate) fn record<C: Cluster>(
        &mut self,
        cluster: &Arc<C>,
        agent: &AgentPod,
        broken_connections: u32,
        publisher: &Publisher,
    ) {
        let at = Timestamp::now();
        publisher.update(|status| {
            status.losses.push(AgentLoss {
                at,
                pod: agent.pod.clone(),
                end: None,
                broken_connections,
            });
            let surplus = status.losses.len().saturating_sub(MOST);
            status.losses.drain(..surplus);
        });
        while self.0.try_join_next().is_some() {}
        if self.0.len() >= MOST {
            // Each task removes what is too old, so a later one does it for this loss.
            return;
        }
        let (cluster, agent, publisher) = (cluster.clone(), agent.clone(), publisher.clone());
        self.0.spawn(async move {
            if let Ok(end) = tokio::time::timeout(END_KNOWN_WITHIN, cluster.agent_end(&agent)).await {
                publisher.update(|status| {
                    if let Some(loss) = status.losses.iter_mut().find(|loss| loss.at == at) {
                        loss.end = Some(end);
                        tracing::warn!(pod = loss.pod, "the agent {loss}");
                    }
                });
            }
            tokio::time::sleep(FORGOTTEN_AFTER).await;
            publisher.update(|status| status.losses.retain(|loss| loss.at > at));
        });
    }
}
