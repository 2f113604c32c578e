//! States connected and reconnecting: programs are captured, and carriers are present or awaited.

use std::convert::Infallible;
use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, Either};
use futures_util::{FutureExt, StreamExt};
use slipway_control_api::{Health, Problem, State};
use slipway_tunnel::frame::Farewell;
use slipway_tunnel::{ResetCause, Stats};
use tokio::sync::{Notify, watch};

use crate::awake::Awake;
use crate::carriers::Report;
use crate::cluster::Cluster;
use crate::context::SessionContext;
use crate::error::SessionError;
use crate::exit::Exit;
use crate::laptop_probe::LaptopProbe;
use crate::no_room::NoRoom;
use crate::self_check::{HTTPS, SelfCheck, service};
use crate::states::{Event, Live};
use crate::trouble::Trouble;

/// Interval at which the figures in the status are measured.
const HEALTH_EVERY: Duration = Duration::from_secs(1);

/// Steps while reconnecting.
const WAITS_FOR_NETWORK: &str = "Waiting for the network. Open connections are kept";
const WAITS_FOR_LOGIN: &str = "Waiting for a new login. Open connections are kept";

/// Why a session reconnects while no carrier has ended: it may still come back to life.
const SILENT: &str = "Nothing arrives over the carriers.";

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
    /// The agent is lost for this reason.
    AgentLost(String),
    Exit(Exit),
}

impl<C: Cluster> Live<C> {
    /// Runs the state connected, until it ends.
    pub(crate) async fn stay_connected(mut self, context: &SessionContext) -> Event<C> {
        self.trouble = None;
        context.publisher.enter(State::Connected);
        tracing::info!("connected");
        let (fine, agent_is_fine) = watch::channel(false);
        let check_agent = Arc::<Notify>::default();
        let check = SelfCheck {
            tunnel: self.link.tunnel.clone(),
            cluster: self.link.cluster.clone(),
            agent: self.agent.agent.clone(),
            explainer: self.captured.method.explainer(),
            domain: self.captured.domain.clone(),
            guess: self.link.facts.api_service,
            fine,
            now: check_agent.clone(),
        };
        let probing = self.probing(agent_is_fine, check_agent, context);
        // Their problems are withdrawn with the state, in which alone they can be checked.
        let checking = check.run(context.publisher.problem_source());
        let checking = async {
            match futures_util::future::select(pin!(checking), pin!(probing)).await {
                Either::Left((never, _)) | Either::Right((never, _)) => never,
            }
        };
        match self.until(Awaited::NoCarrier, checking, context).await {
            Change::Carriers => Event::CarriersLost(self),
            Change::AgentLost(why) => self.lose_agent(why, context).await,
            Change::Exit(exit) => Event::Left(self, exit),
        }
    }

    /// Probes from the laptop's side, if the method can.
    fn probing(
        &self,
        agent_is_fine: watch::Receiver<bool>,
        check_agent: Arc<Notify>,
        context: &SessionContext,
    ) -> BoxFuture<'static, Infallible> {
        let parts = self.captured.method.probe().zip(service(&self.captured.domain));
        let Some((probe, service)) = parts else {
            return pending().boxed();
        };
        let probe = LaptopProbe {
            probe,
            tunnel: self.link.tunnel.clone(),
            service,
            port: HTTPS,
            agent_is_fine,
            now: self.probe_now.clone(),
            check_agent,
            unseen: self.link.unseen.clone(),
        };
        probe.run(context.publisher.problem_source()).boxed()
    }

    /// Waits for a carrier. Open connections are kept, and new ones wait.
    pub(crate) async fn reconnect(mut self, context: &SessionContext) -> Event<C> {
        let why = self.trouble.clone().unwrap_or_else(|| SILENT.to_owned());
        context.publisher.enter_because(State::Reconnecting, Some(why));
        context.step(WAITS_FOR_NETWORK);
        match self.until(Awaited::ACarrier, pending(), context).await {
            Change::Carriers => {
                self.captured.method.forget_answers();
                Event::CarriersBack(self)
            }
            Change::AgentLost(why) => self.lose_agent(why, context).await,
            Change::Exit(exit) => Event::Left(self, exit),
        }
    }

    /// Closes carriers and streams of the lost agent. The capture stays: new connections of programs wait for the next
    /// agent.
    async fn lose_agent(mut self, why: String, context: &SessionContext) -> Event<C> {
        context.publisher.enter_because(State::Placing, Some(why));
        self.link
            .remember_loss(&self.agent.agent.pod, &self.watch, context);
        // Carriers first: frames that they have not delivered must not reach the next agent.
        self.carriers.give_up().await;
        self.link.tunnel.fail_streams(ResetCause::AgentLost);
        Event::AgentLost(self)
    }

    /// Waits for a change, while `checking` publishes what it finds.
    async fn until(
        &mut self,
        awaited: Awaited,
        checking: impl Future<Output = Infallible>,
        context: &SessionContext,
    ) -> Change {
        let Self {
            link,
            captured,
            agent,
            watch,
            carriers,
            trouble,
            probe_now,
            instance,
            namespaces,
        } = self;
        let mut awake = Awake::now();
        let mut counted = link.tunnel.carriers();
        let enough = |count: &usize| (*count == 0) == (awaited == Awaited::NoCarrier);
        let mut counted = std::pin::pin!(counted.wait_for(enough));
        let mut gone = std::pin::pin!(watch.gone());
        let mut ended = captured.method.ended();
        let mut health = tokio::time::interval(HEALTH_EVERY);
        let mut said = WAITS_FOR_NETWORK;
        let mut checking = std::pin::pin!(checking);
        loop {
            tokio::select! {
                exit = context.has_to_end() => return Change::Exit(exit),
                _ = &mut counted => return Change::Carriers,
                end = &mut gone => {
                    tracing::warn!("the agent {end}");
                    return Change::AgentLost(format!("The agent {end}"));
                }
                problem = &mut ended => return Change::Exit(SessionError::Method(problem).into()),
                Ok(()) = captured.report.changed() => captured.publish(context, None),
                Some(now) = namespaces.next() => {
                    captured.method.set_namespaces(now.clone());
                    captured.changes.set_namespaces(now);
                }
                Some(()) = link.address_changes.next() => {
                    tracing::info!("the addresses of the laptop changed");
                    link.tunnel.suspect_carriers();
                    probe_now.notify_one();
                }
                Some(farewell) = link.farewells.recv() => match farewell {
                    Farewell::AgentEnds => return Change::AgentLost("The agent said that it ends".to_owned()),
                    Farewell::SessionEnds | Farewell::SessionLeaves => {}
                },
                Some(report) = carriers.reports.recv() => match report {
                    Report::Up(back) if back.instance != *instance => {
                        tracing::warn!("the agent has restarted");
                        *instance = back.instance;
                        link.remember_loss(&agent.agent.pod, watch, context);
                        link.tunnel.fail_streams(ResetCause::AgentLost);
                    }
                    Report::Up(_) => {}
                    Report::Down(why) if why.is_lost_agent() => {
                        return Change::AgentLost(sentence(&why));
                    }
                    Report::Down(why) if awaited == Awaited::ACarrier => {
                        if trouble.is_none() {
                            let known = trouble.insert(sentence(&why)).clone();
                            context.publisher.update(|status| status.cause = Some(known));
                        }
                        let step = if why.is_refused_login() {
                            WAITS_FOR_LOGIN
                        } else {
                            WAITS_FOR_NETWORK
                        };
                        if step != said {
                            said = step;
                            context.step(step);
                        }
                    }
                    Report::Down(why) => *trouble = Some(sentence(&why)),
                },
                never = &mut checking => match never {},
                _ = health.tick() => {
                    if awake.has_slept() {
                        tracing::info!("the laptop has slept");
                        link.tunnel.suspect_carriers();
                        probe_now.notify_one();
                    }
                    let stats = link.tunnel.stats();
                    NoRoom::publish(&stats, &captured.no_room);
                    let figures = figures(stats);
                    context.publisher.update(|status| status.health = Some(figures));
                }
            }
        }
    }
}

/// Makes a sentence of the reason, as problems have it.
fn sentence(why: &Trouble) -> String {
    Problem::new("carrier-lost", why.to_string(), "").cause
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
