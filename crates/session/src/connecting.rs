//! Connecting: carriers to the agent, then the laptop.

use std::time::Duration;

use ipnet::IpNet;
use jiff::Timestamp;
use slipway_carrier::CarrierError;
use slipway_control_api::{Action, BackEnd, CaptureStatus, NameEvent, Problem, State, VpnTcpStatus};
use slipway_names::{Label, Name, Outcome, Scope};
use slipway_profile::{AlsoProxy, Profile};
use slipway_tunnel::{Introduction, TunnelEvent};
use slipway_vpn_tcp::{DomainSaidBy, Reach, VpnTcp, Wanted};

use crate::addresses::Addresses;
use crate::also_proxy::unknown_hosts;
use crate::carriers::{Carriers, Report, Trouble};
use crate::context::{Context, Left};
use crate::desk::answerer;
use crate::error::SessionError;
use crate::holdings::{Holdings, Live, Prepared};
use crate::namespaces::Followed;
use crate::placing;
use crate::problems::Problems;

/// How long the first carrier may take, new attempts included.
const FIRST_CARRIER: Duration = Duration::from_secs(30);

/// How long the cluster's DNS may hold up a session over the profile's extra hosts; an answer that comes later is told
/// later.
const HOSTS_WITHIN: Duration = Duration::from_secs(1);

/// The domain of a cluster whose administrator chose no other, for an agent that was told none.
const CLUSTER_DOMAIN: &str = "cluster.local";

pub(crate) async fn run(context: &Context, holdings: &mut Holdings) -> Result<(), Left> {
    context.publisher.enter(State::Connecting);
    context.step("Connecting to the agent");
    let (carriers, agent) = reach_agent(context, holdings).await?;
    let Some(prepared) = &mut holdings.prepared else {
        return Ok(());
    };
    let (method, problems) = match holdings.live.take() {
        Some(before) => {
            before.method.forget_answers();
            (before.method, before.problems)
        }
        None => {
            context.step("Connecting the laptop");
            let wanted = wanted(context, prepared, agent.domain.as_deref())?;
            let method = VpnTcp::start(wanted, prepared.way.tunnel.clone())
                .await
                .map_err(SessionError::from)?;
            (method, Problems::new(&context.publisher))
        }
    };
    while let Ok(event) = prepared.events.try_recv() {
        // What an agent that is gone said on its way out does not concern the one that came.
        if !matches!(event, TunnelEvent::Goodbye(_)) {
            method.deliver(event);
        }
    }
    let mut reach = method.reach();
    let now = reach.borrow_and_update().clone();
    for warning in &now.warnings {
        tracing::warn!("{warning}");
    }
    problems.set_reach(&now);
    let explainer = method.explainer();
    context.desk.set_explainer(Some(explainer.clone()));
    let live = holdings.live.insert(Live {
        carriers,
        instance: agent.instance,
        method,
        problems,
        namespaces: Followed::new(&prepared.way.client, &prepared.namespaces),
        addresses: Addresses::watch(),
        hosts_checked: false,
        reach,
    });
    // Whoever starts a session in the background reads no further than that it is connected.
    let unknown = unknown_hosts(&context.options.profile, explainer);
    let unknown = tokio::time::timeout(HOSTS_WITHIN, unknown).await;
    live.hosts_checked = unknown.is_ok();
    live.problems.set_unknown_hosts(unknown.unwrap_or_default());
    let capture = captured_by(&live.method, &now);
    context.publisher.update(|status| {
        status.state = State::Connected;
        status.step = None;
        status.capture = Some(capture);
    });
    Ok(())
}

/// How many networks the status names; one of a cluster that declares none may have learned thousands of addresses.
const MOST_ROUTES: usize = 256;

pub(crate) fn captured_by(method: &VpnTcp, reach: &Reach) -> CaptureStatus {
    CaptureStatus::VpnTcp(VpnTcpStatus {
        routes: reach.routes.iter().take(MOST_ROUTES).copied().collect(),
        dns: method.names_by(),
        resolver: method.resolver(),
        back_end: match method.captured_by() {
            slipway_vpn_tcp::BackEnd::PrivateNamespace => BackEnd::PrivateNamespace,
            slipway_vpn_tcp::BackEnd::Rewriting => BackEnd::Rewriting,
        },
    })
}

/// Waits for the first carrier. An agent of the last session that turns out to be gone is replaced, once.
async fn reach_agent(context: &Context, holdings: &mut Holdings) -> Result<(Carriers, Introduction), Left> {
    loop {
        let (Some(prepared), Some(placed)) = (&holdings.prepared, &holdings.placed) else {
            return Err(Left::Stopped);
        };
        let mut carriers =
            Carriers::start(&prepared.way, &placed.agent, &placed.key).map_err(SessionError::from)?;
        let found = placed.found;
        let error = match first_in_time(&mut carriers, found).await {
            Ok(agent) => return Ok((carriers, agent)),
            Err(error) => error,
        };
        if !found {
            return Err(error.into());
        }
        tracing::info!(%error, "the agent of the last session is of no use");
        drop(carriers);
        placing::run(context, holdings).await?;
        context.publisher.enter(State::Connecting);
    }
}

async fn first_in_time(carriers: &mut Carriers, found: bool) -> Result<Introduction, SessionError> {
    tokio::time::timeout(FIRST_CARRIER, first(carriers, found))
        .await
        .unwrap_or(Err(SessionError::AgentSilent {
            seconds: FIRST_CARRIER.as_secs(),
        }))
}

/// The first carrier of an agent that was found, or has just been started and may not listen yet.
async fn first(carriers: &mut Carriers, found: bool) -> Result<Introduction, SessionError> {
    while let Some(report) = carriers.reports.recv().await {
        match report {
            Report::Up(agent) => return Ok(agent),
            Report::Down(Trouble::Open(error)) if is_final(&error) => return Err(error.into()),
            Report::Down(Trouble::Open(CarrierError::PortRefused { .. })) if !found => {}
            Report::Down(trouble) if trouble.is_lost_agent() => {
                return Err(match trouble {
                    Trouble::Open(error) => error.into(),
                    Trouble::Proof(error) => error.into(),
                    Trouble::Ended(_) | Trouble::Slow(_) => SessionError::AgentSilent {
                        seconds: FIRST_CARRIER.as_secs(),
                    },
                });
            }
            Report::Down(_) => {}
        }
    }
    Err(SessionError::AgentSilent {
        seconds: FIRST_CARRIER.as_secs(),
    })
}

/// Whether another attempt cannot help while the user does nothing.
fn is_final(error: &CarrierError) -> bool {
    matches!(
        error,
        CarrierError::Forbidden { .. } | CarrierError::Unauthorized { .. } | CarrierError::Credentials { .. }
    )
}

/// The domain of the cluster's names, and who says so.
fn cluster_domain(profile: &Profile, told: Option<&str>) -> (Name, DomainSaidBy) {
    let users = profile.dns.cluster_domain.as_ref();
    if let Some(domain) = users.and_then(|domain| domain.as_str().parse().ok()) {
        return (domain, DomainSaidBy::User);
    }
    // One that is no name could only have been written by a kubelet that gives it to nobody else either.
    match told.map(str::parse) {
        Some(Ok(domain)) => (domain, DomainSaidBy::Cluster),
        Some(Err(_)) => {
            tracing::warn!(told, "the agent's pod searches a domain that is no name");
            (default_domain(), DomainSaidBy::Cluster)
        }
        None => {
            tracing::info!("the agent's pod was told no cluster domain; it is taken for {CLUSTER_DOMAIN}");
            (default_domain(), DomainSaidBy::Cluster)
        }
    }
}

fn default_domain() -> Name {
    CLUSTER_DOMAIN.parse().unwrap_or_else(|_| Name::root())
}

fn wanted(context: &Context, prepared: &Prepared, domain: Option<&str>) -> Result<Wanted, SessionError> {
    let profile = &context.options.profile;
    let name = |text: &str| {
        text.parse::<Name>().map_err(|_| SessionError::Name {
            name: text.to_owned(),
        })
    };
    let label = |text: &str| {
        Label::from_bytes(text.as_bytes()).ok_or_else(|| SessionError::Name {
            name: text.to_owned(),
        })
    };
    let declared: Vec<IpNet> = prepared
        .ranges
        .services
        .iter()
        .chain(&prepared.ranges.pods)
        .copied()
        .collect();
    let mut users = Vec::new();
    let (domain, domain_said_by) = cluster_domain(profile, domain);
    let mut scope = Scope::new(domain, label(&prepared.target.namespace)?);
    scope.namespaces = prepared.namespaces.clone();
    scope.reverse.clone_from(&declared);
    scope.profile = context
        .options
        .saved
        .then(|| label(profile.name.as_str()))
        .transpose()?;
    let mut zones = Vec::new();
    for suffix in &profile.dns.suffixes {
        scope.suffixes.push(name(suffix.as_str())?);
        zones.push(suffix.to_string());
    }
    for extra in &profile.also_proxy {
        match extra {
            AlsoProxy::Host(host) => {
                scope.hosts.insert(name(host.as_str())?);
                zones.push(host.to_string());
            }
            AlsoProxy::Ip(address) => users.push((*address).into()),
            AlsoProxy::Cidr(range) => users.push(*range),
        }
    }
    let publisher = context.publisher.clone();
    let observer = Box::new(move |event: slipway_names::Event| {
        // What is answered from memory was kept when it came, and comes by the thousand.
        if event.answerer != slipway_names::Answerer::Cache {
            publisher.name(name_event(&event));
        } else if publisher.names_are_watched() {
            publisher.name_again(name_event(&event));
        }
    });
    Ok(Wanted {
        helper: context.options.helper.clone(),
        declared,
        users,
        own_way: prepared.own_way.addresses.clone(),
        api_server: prepared
            .own_way
            .names
            .iter()
            .filter_map(|name| name.parse().ok())
            .collect(),
        scope,
        domain_said_by,
        zones,
        observer,
    })
}

fn name_event(event: &slipway_names::Event) -> NameEvent {
    let problem = match event.outcome {
        Outcome::Found | Outcome::NoData => None,
        Outcome::NxDomain => Some(("name-not-found", "Nobody knows this name.")),
        Outcome::ServFail => Some(("name-server-failed", "The name server failed.")),
        Outcome::TimedOut => Some(("name-server-silent", "The name server did not answer in time.")),
        Outcome::Withheld => Some((
            "address-withheld",
            "The cluster answered with an address that programs do not get.",
        )),
    };
    NameEvent {
        at: Timestamp::now(),
        name: event.name.to_string(),
        kind: event.kind.to_string(),
        program: None,
        answer: event.addresses.iter().map(ToString::to_string).collect(),
        answered_by: answerer(event.answerer),
        took_ms: u32::try_from(event.took.as_millis()).unwrap_or(u32::MAX),
        problem: problem.map(|(code, cause)| {
            let command = format!("slipway explain {}", event.name);
            Problem::new(code, cause, format!("Run `{command}`.")).with_actions([Action::Run { command }])
        }),
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::carriers::tests::into_a_black_hole;

    #[tokio::test(start_paused = true)]
    async fn an_agent_that_nobody_leads_to_is_given_up() {
        let (mut carriers, _api_server) = into_a_black_hole().await;
        let began = Instant::now();
        let error = first_in_time(&mut carriers, false).await.unwrap_err();
        assert!(
            matches!(error, SessionError::AgentSilent { seconds: 30 }),
            "{error}"
        );
        assert_eq!(began.elapsed().as_secs(), FIRST_CARRIER.as_secs());
    }
}
