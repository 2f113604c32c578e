//! State ending: removes what the session made, and restores the laptop.

use std::time::Duration;

use slipway_control_api::State;

use crate::cluster::Cluster;
use crate::context::SessionContext;
use crate::states::{Remains, Undo};

/// Limit for stopping the method. After it, the method is dropped, and the kernel cleans up.
const LAPTOP: Duration = Duration::from_secs(5);

pub(crate) async fn run<C: Cluster>(undo: Undo<C>, context: &SessionContext) {
    context.publisher.enter(State::Ending);
    context.handler.set_sources(None);
    let Undo { capture, agent } = undo;
    let laptop = async {
        if let Some(method) = capture
            && tokio::time::timeout(LAPTOP, method.stop()).await.is_err()
        {
            tracing::warn!(?LAPTOP, "the method did not stop in time and was dropped");
        }
    };
    let cluster = async {
        match agent {
            Remains::Nothing => {}
            Remains::Attempt(cluster) => cluster.abandon_attempt().await,
            Remains::Agent(cluster, agent) => cluster.remove_agent(&agent).await,
        }
    };
    tokio::join!(laptop, cluster);
}
