//! Losses of agents, which the status remembers for an hour.

use std::time::Duration;

use jiff::Timestamp;
use slipway_control::Publisher;
use slipway_control_api::AgentLoss;
use tokio::task::JoinSet;

use crate::agent_watch::AgentWatch;

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
    pub(crate) fn record(
        &mut self,
        pod: &str,
        watch: &AgentWatch,
        broken_connections: u32,
        publisher: &Publisher,
    ) {
        let at = Timestamp::now();
        publisher.update(|status| {
            status.losses.push(AgentLoss {
                at,
                pod: pod.to_owned(),
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
        // Without an end by now, carriers or the agent itself told of the loss. The session deletes what is left of the
        // agent, so only the end of its program says more.
        let known = watch.known();
        let (watch, publisher) = (watch.clone(), publisher.clone());
        self.0.spawn(async move {
            let end = match known {
                Some(end) => Some(end),
                None => {
                    // When this takes too long, what is known counts.
                    let _ = tokio::time::timeout(END_KNOWN_WITHIN, watch.over()).await;
                    watch.known()
                }
            };
            drop(watch);
            if let Some(end) = end {
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
