//! Watch of one agent in the cluster, from its first carrier until it has ended.

use std::sync::Arc;

use slipway_cluster::placement::AgentPod;
use slipway_control_api::AgentEnd;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::cluster::Cluster;

/// Watch for the end of an agent. It begins while the agent runs, because the cluster removes an ended agent, and with it
/// the reason, within a second or two. The last clone ends it.
#[derive(Clone, Debug)]
pub(crate) struct AgentWatch {
    end: watch::Receiver<Option<AgentEnd>>,
    _watching: Arc<AbortOnDropHandle<()>>,
}

impl AgentWatch {
    /// Starts to watch.
    pub(crate) fn start<C: Cluster>(cluster: &Arc<C>, agent: &AgentPod) -> Self {
        let (known, end) = watch::channel(None);
        let (cluster, agent) = (cluster.clone(), agent.clone());
        let watching = tokio::spawn(async move {
            let end = cluster.agent_end(&agent).await;
            known.send_replace(Some(end));
        });
        Self {
            end,
            _watching: Arc::new(AbortOnDropHandle::new(watching)),
        }
    }

    /// Waits until the cluster tells how the agent ended. Never returns where the user may not watch pods. Cancel-safe.
    pub(crate) async fn end(&self) -> AgentEnd {
        let mut end = self.end.clone();
        let known = end.wait_for(Option::is_some).await;
        let known = known.ok().and_then(|known| known.clone());
        match known {
            Some(end) => end,
            // The task ended without a result, by a panic.
            None => std::future::pending().await,
        }
    }
}
