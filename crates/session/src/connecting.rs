//! State connecting: opens carriers to the agent, then starts the method unless programs are captured already.

use std::net::IpAddr;
use std::sync::Arc;

use slipway_carrier::CarrierError;
use slipway_control_api::State;
use slipway_method::{Additions, ClusterNames, Connection, NamePlan, Networks};
use slipway_profile::Extras;
use slipway_tunnel::{Introduction, PacketReply};
use tokio::sync::{mpsc, watch};

use crate::agent_watch::AgentWatch;
use crate::carriers::{Carriers, Report};
use crate::changes::Changes;
use crate::cluster::Cluster;
use crate::context::SessionContext;
use crate::control_handler::Sources;
use crate::error::SessionError;
use crate::failures::Failures;
use crate::link::Link;
use crate::name_events::observer;
use crate::needed_hosts::NeededWatch;
use crate::states::{Captured, Event, Laptop, Live, Placed};
use crate::time_limit::TimeLimit;
use crate::trouble::{FIRST_CARRIER, Trouble};

impl<C: Cluster> Placed<C> {
    pub(crate) async fn run(mut self, context: &SessionContext) -> Event<C> {
        context.publisher.enter(State::Connecting);
        context.step("Connecting to the agent");
        let mut carriers = Carriers::start(&self.link, &self.agent);
        let first = first_in_time(&mut carriers, self.agent.found);
        let agent = match self.laptop.meanwhile(context, first).await {
            Ok(agent) => agent,
            Err(exit) => return Event::NotReached(self, exit),
        };
        // A farewell of the previous agent does not apply to this one.
        while self.link.farewells.try_recv().is_ok() {}
        let is_first = matches!(self.laptop, Laptop::Idle { .. });
        let captured = match self.laptop {
            Laptop::Captured(mut captured) => {
                captured.method.forget_answers();
                captured.failures.end();
                captured
            }
            Laptop::Idle { method, packets } => {
                context.step("Connecting the laptop");
                let (needed, never) = NeededWatch::start(&self.link, &context.publisher);
                let connection = connection(context, &self.link, agent.domain.as_deref(), packets, never);
                let started = async {
                    let connection = connection?;
                    let domain = connection.names.scope.cluster_domain.clone();
                    let method = method.start(connection).await.map_err(SessionError::Method)?;
                    Ok::<_, SessionError>((method, domain))
                };
                match context.unless_stopped(started).await {
                    Ok((method, domain)) => Captured {
                        report: method.report(),
                        problems: context.publisher.problem_source(),
                        changes: Arc::new(Changes::new(
                            &*method,
                            Extras::of(&context.options.profile),
                            self.link.facts.namespaces.clone(),
                            &context.publisher,
                        )),
                        failures: Failures::none(&context.publisher),
                        no_room: context.publisher.problem_source(),
                        _time_limit: TimeLimit::start(context),
                        _needed: needed,
                        domain,
                        method,
                    },
                    Err(exit) => return Event::NotCaptured(self.link, self.agent, exit),
                }
            }
        };
        let mut live = Live {
            watch: AgentWatch::start(&self.link.cluster, &self.agent.agent),
            namespaces: self.link.cluster.namespaces(),
            link: self.link,
            captured,
            agent: self.agent,
            carriers,
            probe_now: Arc::default(),
            trouble: None,
            instance: agent.instance,
        };
        context.handler.set_sources(Some(Sources {
            names: live.captured.method.explainer(),
            backings: live.link.cluster.clone(),
            changes: live.captured.changes.clone(),
        }));
        if is_first {
            // A program that starts a session in the background reads the status only until "connected", so report first.
            live.captured.changes.begin().await;
        }
        live.captured.publish(context, Some(State::Connected));
        Event::Connected(live)
    }
}

fn connection<C>(
    context: &SessionContext,
    link: &Link<C>,
    domain: Option<&str>,
    packets: mpsc::Receiver<PacketReply>,
    never: watch::Receiver<Vec<IpAddr>>,
) -> Result<Connection, SessionError> {
    let (profile, facts) = (&context.options.profile, &link.facts);
    let cluster = ClusterNames {
        domain,
        namespace: &facts.place.namespace,
        namespaces: &facts.namespaces,
        reverse: &facts.networks,
        needed: &facts.needed.names,
    };
    let additions = Additions::new(&Extras::of(profile))?;
    Ok(Connection {
        tunnel: link.tunnel.clone(),
        packets,
        names: NamePlan::new(profile, context.options.saved, &additions, &cluster)?,
        networks: Networks {
            declared: facts.networks.clone(),
            users: additions.networks,
        },
        never,
        observer: observer(&context.publisher, link.unseen.clone()),
        elders: context.elders.clone(),
    })
}

async fn first_in_time(carriers: &mut Carriers, found: bool) -> Result<Introduction, SessionError> {
    tokio::time::timeout(FIRST_CARRIER, first(carriers, found))
        .await
        .unwrap_or(Err(SessionError::AgentSilent {
            seconds: FIRST_CARRIER.as_secs(),
        }))
}

/// Waits for the first carrier. Fails at once where another attempt cannot help.
async fn first(carriers: &mut Carriers, found: bool) -> Result<Introduction, SessionError> {
    while let Some(report) = carriers.reports.recv().await {
        match report {
            Report::Up(agent) => return Ok(agent),
            // An agent that has just started may not listen yet.
            Report::Down(Trouble::Open(CarrierError::PortRefused { .. })) if !found => {}
            Report::Down(trouble) if trouble.is_final() || trouble.is_lost_agent() => {
                return Err(trouble.into());
            }
            Report::Down(_) => {}
        }
    }
    Err(SessionError::AgentSilent {
        seconds: FIRST_CARRIER.as_secs(),
    })
}
