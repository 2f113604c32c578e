//! States connected and reconnecting: programs are captured, and carriers are present or awaited.

use std::time::Duration;

use futures_util::StreamExt;
use slipway_control_api::{Health, State};
use slipway_tunnel::frame::Farewell;
use slipway_tunnel::{ResetCause, Stats};

use crate::carriers::Report;
use crate::cluster::Cluster;
use crate::context::SessionContext;
use crate::error::SessionError;
use crate::exit::Exit;
use crate::states::{Event, Live};

/// Interval at which the figures in the status are measured.
const HEALTH_EVERY: Duration = Duration::from_secs(1);

/// Number of carriers that a live session waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaited {
    NoCarrier,
    ACarrier,
}

/// Reason for which the wait ended.
enum Change {
    /// The awaited number of carriers was reached.
    Carriers,
    AgentLost,
    Exit(Exit),
}

impl<C: Cluster> Live<C> {
    /// Runs the state connected, until it ends.
    pub(crate) async fn stay_connected(mut self, context: &SessionContext) -> Event<C> {
        context.publisher.enter(State::Connected);
        tracing::info!("connected");
        match self.until(Awaited::NoCarrier, context).await {
            Change::Carriers => Event::CarriersLost(self),
            Change::AgentLost => self.lose_agent(context).await,
            Change::Exit(exit) => Event::Left(self, exit),
        }
    }

    /// Waits for a carrier. Open connections are kept, and new ones wait.
    pub(crate) async fn reconnect(mut self, context: &SessionContext) -> Event<C> {
        context.publisher.enter(State::Reconnecting);
        context.step("Waiting for the network. Open connections are kept");
        match self.until(Awaited::ACarrier, context).await {
            Change::Carriers => {
                self.captured.method.forget_answers();
                Event::CarriersBack(self)
            }
            Change::AgentLost => self.lose_agent(context).await,
            Change::Exit(exit) => Event::Left(self, exit),
        }
    }

    /// Closes carriers and streams of the lost agent. The capture stays: new connections of programs wait for the next
    /// agent.
    async fn lose_agent(mut self, context: &SessionContext) -> Event<C> {
        self.link.remember_loss(&self.agent, context);
        // Carriers first: frames that they have not delivered must not reach the next agent.
        self.carriers.give_up().await;
        self.link.tunnel.fail_streams(ResetCause::AgentLost);
        Event::AgentLost(self)
    }

    async fn until(&mut self, awaited: Awaited, context: &SessionContext) -> Change {
        let Self {
            link,
            captured,
            agent,
            carriers,
            instance,
            namespaces,
        } = self;
        let mut counted = link.tunnel.carriers();
        let enough = |count: &usize| (*count == 0) == (awaited == Awaited::NoCarrier);
        let mut counted = std::pin::pin!(counted.wait_for(enough));
        let cluster = link.cluster.clone();
        let mut gone = std::pin::pin!(cluster.agent_gone(&agent.agent));
        let mut ended = captured.method.ended();
        let mut health = tokio::time::interval(HEALTH_EVERY);
        loop {
            tokio::select! {
                () = context.stop.cancelled() => return Change::Exit(Exit::Stopped),
                _ = &mut counted => return Change::Carriers,
                () = &mut gone => return Change::AgentLost,
                problem = &mut ended => return Change::Exit(SessionError::Method(problem).into()),
                Ok(()) = captured.report.changed() => captured.publish(context, None),
                () = captured.hosts.finish(), if !captured.hosts.is_done() => {}
                Some(now) = namespaces.next() => captured.method.set_namespaces(now),
                Some(()) = link.address_changes.next() => {
                    tracing::info!("the addresses of the laptop changed");
                    link.tunnel.suspect_carriers();
                }
                Some(farewell) = link.farewells.recv() => match farewell {
                    Farewell::AgentEnds => return Change::AgentLost,
                    Farewell::SessionEnds | Farewell::SessionLeaves => {}
                },
                Some(report) = carriers.reports.recv() => match report {
                    Report::Up(back) if back.instance != *instance => {
                        tracing::warn!("the agent has restarted");
                        *instance = back.instance;
                        link.remember_loss(agent, context);
                        link.tunnel.fail_streams(ResetCause::AgentLost);
                    }
                    Report::Up(_) => {}
                    Report::Down(trouble) if trouble.is_lost_agent() => return Change::AgentLost,
                    Report::Down(_) => {}
                },
                _ = health.tick() => {
                    let figures = figures(link.tunnel.stats());
                    context.publisher.update(|status| status.health = Some(figures));
                }
            }
        }
    }
}

fn figures(stats: Stats) -> Health {
    let rtt = stats.rtt.map_or(0, |rtt| rtt.as_millis());
    Health {
        rtt_ms: u32::try_from(rtt).unwrap_or(u32::MAX),
        up_bytes: stats.sent,
        down_bytes: stats.received,
        open_connections: u32::try_from(stats.streams).unwrap_or(u32::MAX),
    }
}
