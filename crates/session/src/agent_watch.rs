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
        let (sender, end) = watch::channel(None);
        let (cluster, agent) = (cluster.clone(), agent.clone());
        let watching = tokio::spawn(async move { cluster.watch_agent(&agent, sender).await });
        Self {
            end,
            _watching: Arc::new(AbortOnDropHandle::new(watching)),
        }
    }

    /// Waits until the cluster tells that the agent has ended or is being deleted, and returns which. Never returns where
    /// the user may not watch pods. Cancel-safe.
    pub(crate) async fn gone(&self) -> AgentEnd {
        let mut end = self.end.clone();
        let known = end.wait_for(Option::is_some).await;
        let known = known.ok().and_then(|known| known.clone());
        match known {
            Some(end) => end,
            None => std::future::pending().await,
        }
    }

    /// Returns what the cluster has told so far.
    pub(crate) fn known(&self) -> Option<AgentEnd> {
        self.end.borrow().clone()
    }

    /// Waits until the cluster tells nothing more: the agent has ended, or its pod is gone.
    pub(crate) async fn over(&self) {
        let mut end = self.end.clone();
        while end.changed().await.is_ok() {}
    }
}
