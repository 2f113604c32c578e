//! State placing: finds the agent that the last session of this profile left, or starts a new one.

use slipway_cluster::placement::{AgentPod, Progress};
use slipway_control_api::{AgentInfo, State};

use crate::cluster::{Cluster, PlacedAgent};
use crate::context::SessionContext;
use crate::error::SessionError;
use crate::states::{Event, Placed, Prepared, WantedAgent};

impl<C: Cluster> Prepared<C> {
    pub(crate) async fn run(self, context: &SessionContext) -> Event<C> {
        context.publisher.enter(State::Placing);
        let agent = find_or_place(&*self.link.cluster, self.wanted, context);
        let agent = match context.unless_stopped(agent).await {
            Ok(agent) => agent,
            Err(exit) => return Event::NotPlaced(self, exit),
        };
        let AgentPod { pod, node, .. } = agent.agent.clone();
        context
            .publisher
            .update(|status| status.agent = Some(AgentInfo { pod, node }));
        Event::Placed(Placed {
            link: self.link,
            laptop: self.laptop,
            agent,
        })
    }
}

async fn find_or_place<C: Cluster>(
    cluster: &C,
    wanted: WantedAgent,
    context: &SessionContext,
) -> Result<PlacedAgent, SessionError> {
    if wanted == WantedAgent::Kept
        && let Some(agent) = cluster.kept_agent().await?
    {
        return Ok(agent);
    }
    context.step("Starting the agent");
    let progress = |progress: Progress| match progress {
        Progress::WaitingForPod { reason } => {
            context.step(&format!("Waiting for the agent's pod ({reason})"));
        }
        Progress::Uploading { sent, total } => {
            context.publisher.update(|status| {
                status.step = Some(format!("Sending the agent ({} %)", sent * 100 / total.max(1)));
            });
        }
        Progress::Creating | Progress::Started => {}
    };
    cluster.place_agent(&progress).await
}
