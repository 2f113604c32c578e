//! Connected: programs reach the cluster, until something changes.

use std::time::Duration;

use slipway_cluster::placement::watch_gone;
use slipway_control_api::{Health, State};
use slipway_tunnel::frame::Farewell;
use slipway_tunnel::{ResetCause, Stats, TunnelEvent};

use crate::also_proxy::unknown_hosts;
use crate::carriers::Report;
use crate::connecting;
use crate::context::{Context, Left};
use crate::error::SessionError;
use crate::holdings::{Holdings, Live};

/// How often the figures in the status are renewed.
const HEALTH_EVERY: Duration = Duration::from_secs(1);

/// What makes a session leave its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// No carrier is left.
    NoCarrier,
    /// There is a carrier again.
    Back,
    /// The agent is gone, or another run of it took its place.
    AgentLost,
}

pub(crate) async fn run(context: &Context, holdings: &mut Holdings) -> Result<Change, Left> {
    context.publisher.enter(State::Connected);
    tracing::info!("connected");
    until_change(context, holdings, Change::NoCarrier).await
}

/// Waits for a carrier to come back, or for the last one to go, as asked; for the loss of the agent in any case.
pub(crate) async fn until_change(
    context: &Context,
    holdings: &mut Holdings,
    awaited: Change,
) -> Result<Change, Left> {
    let (Some(prepared), Some(placed), Some(live)) =
        (&mut holdings.prepared, &holdings.placed, &mut holdings.live)
    else {
        return Err(Left::Stopped);
    };
    let tunnel = prepared.way.tunnel.clone();
    let mut counted = tunnel.carriers();
    let carriers = async {
        let enough = |count: &usize| (*count == 0) == (awaited == Change::NoCarrier);
        drop(counted.wait_for(enough).await);
    };
    let pod = async {
        match watch_gone(&prepared.way.client, &placed.agent).await {
            Ok(gone) => tracing::warn!("{gone}"),
            Err(error) => {
                // Its carriers tell as well, only later.
                tracing::info!(%error, "the agent's pod is not watched");
                std::future::pending().await
            }
        }
    };
    let mut carriers = std::pin::pin!(carriers);
    let mut pod = std::pin::pin!(pod);
    let Live {
        carriers: kept,
        instance,
        method,
        problems,
        namespaces,
        addresses,
        hosts_checked,
        reach,
    } = live;
    let mut helper_away = method.helper_away();
    let mut ended = std::pin::pin!(method.ended());
    let mut health = tokio::time::interval(HEALTH_EVERY);
    let mut unknown = std::pin::pin!(unknown_hosts(&context.options.profile, method.explainer()));
    loop {
        tokio::select! {
            unknown = &mut unknown, if !*hosts_checked => {
                *hosts_checked = true;
                problems.set_unknown_hosts(unknown);
            }
            () = &mut carriers => return Ok(awaited),
            () = &mut pod => return Ok(Change::AgentLost),
            now = namespaces.next() => method.set_namespaces(now),
            Ok(()) = reach.changed() => {
                let now = reach.borrow_and_update().clone();
                problems.set_reach(&now);
                let capture = connecting::captured_by(method, &now);
                context.publisher.update(|status| status.capture = Some(capture));
            }
            () = addresses.changed() => {
                tracing::info!("the laptop has other addresses");
                tunnel.suspect_carriers();
            }
            Ok(()) = helper_away.changed() => {
                problems.set_helper_away(*helper_away.borrow_and_update());
            }
            end = &mut ended => return Err(SessionError::Ended(end).into()),
            Some(report) = kept.reports.recv() => match report {
                Report::Up(agent) if agent.instance != *instance => {
                    tracing::warn!("another run of the agent answers");
                    *instance = agent.instance;
                    tunnel.fail_streams(ResetCause::AgentLost);
                }
                Report::Up(_) => {}
                Report::Down(trouble) if trouble.is_lost_agent() => return Ok(Change::AgentLost),
                Report::Down(_) => {}
            },
            Some(event) = prepared.events.recv() => match event {
                TunnelEvent::Goodbye(Farewell::AgentEnds) => return Ok(Change::AgentLost),
                said @ (TunnelEvent::Delivery(_)
                | TunnelEvent::Undeliverable { .. }
                | TunnelEvent::Echoed { .. }
                | TunnelEvent::Goodbye(Farewell::SessionEnds | Farewell::SessionLeaves)) => method.deliver(said),
            },
            _ = health.tick() => {
                let figures = figures(tunnel.stats());
                context.publisher.update(|status| status.health = Some(figures));
            }
        }
    }
}

/// Gives up what cannot outlive the agent. The laptop stays connected, for the one that takes its place; what is opened
/// from now on waits for that one.
pub(crate) async fn lose_agent(holdings: &mut Holdings) {
    if let Some(live) = &mut holdings.live {
        // First: what they have not got across must not be taken to the next agent.
        live.carriers.give_up().await;
    }
    if let Some(prepared) = &holdings.prepared {
        prepared.way.tunnel.fail_streams(ResetCause::AgentLost);
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
