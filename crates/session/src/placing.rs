//! State placing: finds the agent that the last session of this profile left, or starts a new one.

use slipway_cluster::placement::{AgentPod, Progress};
use slipway_control_api::{AgentInfo, State};

use crate::cluster::{Cluster, PlacedAgent};
use crate::context::SessionContext;
use crate::error::SessionError;
use crate::states::{Event, Laptop, Placed, Prepared, WantedAgent};

impl<C: Cluster> Prepared<C> {
    pub(crate) async fn run(self, context: &SessionContext) -> Event<C> {
        let Self {
            link,
            mut laptop,
            wanted,
        } = self;
        // After a failure the status keeps its step, which says why, until there is news.
        let is_first = match &laptop {
            Laptop::Captured(captured) => !captured.failures.any(),
            Laptop::Idle { .. } => true,
        };
        if is_first {
            // A replacement keeps the cause, which says how the agent was lost.
            let cause = matches!(laptop, Laptop::Captured(_)).then(|| context.publisher.status().cause);
            context.publisher.enter_because(State::Placing, cause.flatten());
        }
        let agent = async {
            let cluster = &*link.cluster;
            match &wanted {
                WantedAgent::Kept => {
                    if let Some(agent) = cluster.kept_agent().await? {
                        return Ok(agent);
                    }
                    context.step("Starting the agent");
                    place(cluster, context).await
                }
                WantedAgent::InsteadOf(lost) => {
                    if is_first {
                        context.step("Starting another agent");
                    }
                    let (placed, ()) = tokio::join!(place(cluster, context), cluster.discard_agent(lost));
                    placed
                }
            }
        };
        let agent = match laptop.meanwhile(context, agent).await {
            Ok(agent) => agent,
            Err(exit) => {
                let prepared = Prepared { link, laptop, wanted };
                return Event::NotPlaced(prepared, exit);
            }
        };
        let AgentPod { pod, node, .. } = agent.agent.clone();
        context
            .publisher
            .update(|status| status.agent = Some(AgentInfo { pod, node }));
        Event::Placed(Placed { link, laptop, agent })
    }
}

async fn place<C: Cluster>(cluster: &C, context: &SessionContext) -> Result<PlacedAgent, SessionError> {
    let progress = |progress: Progress| match progress {
        Progress::WaitingForPod { reason } => {
            context.step(&format!("Waiting for the agent's pod ({reason})"));
        }
        Progress::Uploading { sent, total } => {
            context.publisher.update(|status| {
                status.step = Some(format!("Sending the agent ({} %)", sent * 100 / total.max(1)));
            });
        }
        Progress::Creating | Progress::Created(_) | Progress::Started => {}
    };
    cluster.place_agent(&progress).await
}
