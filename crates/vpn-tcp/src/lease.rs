//! The helper's lease: asked for, kept, widened by learned addresses, asked for again when the helper came back.

use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use slipway_capture::Capture;
use slipway_helper_api::{
    Client, ClientError, DnsPlan, Granted, Handover, Lease, Plan, PlanError, RangeTrouble, Refusal, Route,
    RouteOrigin, Routes, Slot, TunnelCidr, UpError, Upstream, Zones, is_private,
};
use slipway_names::{Admission, NamedBy};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::asks::Need;
use crate::error::VpnTcpError;
use crate::plan::{Warning, narrowed};
use crate::resolver::Resolver;
use crate::withheld::Withheld;

/// How long a helper that ended may take to come back.
pub const HELPER_RETURNS_WITHIN: Duration = Duration::from_secs(10);

/// How often it is looked for meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Addresses that were learned one by one; the one longest unused goes first.
const MOST_LEARNED: usize = 4096;

/// Addresses that one answer may have routes made for. More need a range.
const MOST_OF_ONE_ANSWER: usize = 64;

/// What the session wants of the helper, apart from addresses that are learned.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) socket: PathBuf,
    pub(crate) routes: Routes,
    pub(crate) dns: Option<DnsPlan>,
}

/// A lease as it was first granted.
#[derive(Debug)]
pub(crate) struct Fresh {
    pub(crate) lease: Lease,
    pub(crate) tun: OwnedFd,
    pub(crate) upstreams: Vec<Upstream>,
    /// What of the networks could not be had.
    pub(crate) warnings: Vec<Warning>,
}

/// What a lease has come to: told anew whenever it changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// The networks that go to the cluster, learned addresses among them, joined where they touch.
    pub routes: Vec<IpNet>,
    /// What could not be had, and why.
    pub warnings: Vec<Warning>,
    /// Addresses of cluster answers that programs do not get.
    pub withheld: Withheld,
}

/// Asks for a lease with these addresses beside the networks of `ask`, and with ever fewer of them as long as the helper
/// names some that it will not route.
///
/// # Errors
///
/// [`VpnTcpError`]; nothing is left then.
pub(crate) async fn obtain(ask: &Ask, learned: &[Route], prefer: Option<Slot>) -> Result<Fresh, VpnTcpError> {
    let mut client = Client::connect(&ask.socket).await?;
    let mut warnings = Vec::new();
    let mut routes: Routes = ask.routes.iter().chain(learned.iter().copied()).collect();
    loop {
        let plan = plan(&routes, ask.dns.as_ref())?;
        let refusal = match client.up(&plan, prefer).await {
            Ok(Handover {
                lease,
                tun,
                upstreams,
            }) => {
                return Ok(Fresh {
                    lease,
                    tun,
                    upstreams,
                    warnings,
                });
            }
            Err(UpError::Lost(error)) => return Err(error.into()),
            Err(UpError::Refused {
                refusal,
                client: again,
            }) => {
                client = *again;
                refusal
            }
        };
        let Some((left, because)) = narrowed(&routes, &refusal) else {
            return Err(VpnTcpError::Refused(refusal));
        };
        routes = left;
        // A learned address that is not granted any more is withheld when it is answered again.
        warnings.extend(
            because
                .into_iter()
                .filter(|warning| !learned.iter().any(|route| warning.is_about(route.net))),
        );
    }
}

/// Keeps a lease alive and wide enough until the helper is gone for good.
pub(crate) struct Keeper {
    pub(crate) ask: Ask,
    pub(crate) lease: Lease,
    pub(crate) capture: Arc<Capture>,
    pub(crate) resolver: Resolver,
    pub(crate) own_way: Vec<IpAddr>,
    /// Networks that the user named, also those that are not routed as a whole.
    pub(crate) users: Vec<IpNet>,
    pub(crate) needs: mpsc::Receiver<Need>,
    /// What the helper granted of what was asked for.
    pub(crate) granted: Routes,
    /// What the helper granted of addresses that were learned beside that, the longest unused first.
    pub(crate) learned: Vec<Route>,
    /// What could not be had for reasons that no lease changes.
    pub(crate) warnings: Vec<Warning>,
    pub(crate) reach: watch::Sender<Reach>,
    /// Whether the helper is gone for now.
    pub(crate) away: watch::Sender<bool>,
}

impl Keeper {
    /// Serves until the helper is gone and does not come back.
    pub(crate) async fn keep(mut self) -> VpnTcpError {
        loop {
            tokio::select! {
                () = self.lease.closed() => {
                    tracing::warn!("the helper is gone; looking for it");
                    // Its routes live as long as we hold the device.
                    if let Err(error) = self.capture.replace_tun(None).await {
                        tracing::debug!(%error, "the device was closed already");
                    }
                    self.away.send_replace(true);
                    if let Err(error) = self.regain().await {
                        return error;
                    }
                    self.away.send_replace(false);
                }
                Some(need) = self.needs.recv() => match need {
                    Need::Admit { addresses, named_by, decided } => {
                        let decision = self.admit(&addresses, named_by).await;
                        // The program may have stopped waiting.
                        let _ = decided.send(decision);
                    }
                    Need::Sockets => self.renew_sockets().await,
                    Need::Domains(domains) => self.send_here(domains).await,
                    Need::NameServers { renewed } => {
                        self.renew_name_servers().await;
                        let _nobody_waits = renewed.send(());
                    }
                },
            }
        }
    }

    async fn renew_sockets(&mut self) {
        match self.lease.refresh_dns().await {
            Ok(sockets) => drop(self.resolver.0.asks().keep_spares(sockets)),
            Err(error) => tracing::warn!(%error, "no new sockets to the laptop's name servers"),
        }
    }

    /// Has the laptop's resolver send the names of other domains here than before.
    async fn send_here(&mut self, domains: Zones) {
        let Some(before) = &self.ask.dns else { return };
        let dns = DnsPlan::new(domains, before.redirect_port(), before.rung());
        let outcome = match dns.and_then(|dns| {
            self.ask.dns = Some(dns.clone());
            // What is routed stays as the helper has it: it may have refused some of what we know.
            Plan::new(self.lease.plan().routes().iter(), Some(dns))
        }) {
            Ok(plan) => self.lease.update(&plan).await.map_err(VpnTcpError::from),
            Err(_) => Err(ClientError::Unexpected.into()),
        };
        match outcome {
            Ok(sockets) if sockets.is_empty() => {}
            Ok(sockets) => self.resolver.0.asks().set_laptop(sockets),
            Err(error) => tracing::warn!(%error, "names of some namespaces are not sent here"),
        }
    }

    async fn renew_name_servers(&mut self) {
        match self.lease.refresh_dns().await {
            Ok(sockets) => {
                self.resolver.0.asks().set_laptop(sockets);
                // What could not be reached any more may have been those of another network.
                self.resolver.0.name_servers_changed();
            }
            Err(error) => tracing::warn!(%error, "no new sockets to the laptop's name servers"),
        }
    }

    /// Decides on each address of an answer, and makes routes to those that programs may have.
    async fn admit(&mut self, addresses: &[IpAddr], named_by: NamedBy) -> Vec<Admission> {
        let mut decisions = Vec::with_capacity(addresses.len());
        let mut new = Routes::default();
        for address in addresses {
            let decision = self.judge(*address, named_by);
            if let Decision::Route(route) = decision {
                if new.len() < MOST_OF_ONE_ANSWER {
                    new.insert(route);
                } else {
                    let why =
                        format!("one answer has routes made for {MOST_OF_ONE_ANSWER} addresses at most");
                    decisions.push(Decision::Withhold(why));
                    continue;
                }
            }
            decisions.push(decision);
        }
        let refused = self.learn(new).await;
        let mut decided = Vec::with_capacity(addresses.len());
        self.reach.send_if_modified(|reach| {
            let mut is_news = false;
            for (address, decision) in addresses.iter().zip(decisions) {
                let why = match decision {
                    Decision::HandOut => None,
                    Decision::Withhold(why) => Some(why),
                    Decision::Route(route) => match refused.iter().find(|(net, _)| *net == route.net) {
                        None | Some((_, Refused::Shared)) => None,
                        Some((_, Refused::NoIpv6)) => {
                            decided.push(Admission::Unusable);
                            continue;
                        }
                        Some((_, Refused::Because(why))) => Some(why.clone()),
                    },
                };
                let (admission, changed) = match why {
                    None => (Admission::HandOut, reach.withheld.forget(*address)),
                    Some(why) => (Admission::Withhold, reach.withheld.add(*address, why)),
                };
                decided.push(admission);
                is_news |= changed;
            }
            is_news
        });
        decided
    }

    /// What is to be done with an address, as far as this side knows.
    fn judge(&self, address: IpAddr, named_by: NamedBy) -> Decision {
        let is_routed = || self.granted.nets().any(|net| net.contains(address));
        if self.own_way.contains(&address) || is_routed() {
            return Decision::HandOut;
        }
        let net = match TunnelCidr::single(address) {
            Ok(net) => net,
            Err(error) => return Decision::Withhold(error.to_string()),
        };
        let is_users = named_by == NamedBy::User || self.users.iter().any(|range| range.contains(&address));
        if is_users {
            return Decision::Route(Route::new(net, RouteOrigin::User));
        }
        if named_by == NamedBy::Alias && !is_private(net.net()) {
            // A public host has the same address everywhere, so the laptop's own way leads there as well.
            return Decision::HandOut;
        }
        Decision::Route(Route::new(net, RouteOrigin::Learned))
    }

    /// Has routes made to addresses, and says which of them the helper refused. One refusal spoils no others.
    async fn learn(&mut self, new: Routes) -> Vec<(TunnelCidr, Refused)> {
        let (known, mut new): (Routes, Routes) = new.iter().partition(|route| self.learned.contains(route));
        // What was asked for again is as good as new.
        self.learned.retain(|route| known.get(&route.net).is_none());
        self.learned.extend(known.iter());
        let mut refused = Vec::new();
        if let Err(error) = self.make_room(new.len()).await {
            refuse_all(&mut new, &mut refused, &error.to_string());
        }
        while !new.is_empty() {
            match self.lease.add(new.iter()).await {
                Ok(()) => break,
                Err(ClientError::Refused(refusal)) => match narrowed(&new, &refusal) {
                    Some((left, because)) => {
                        for route in new.iter().filter(|route| left.get(&route.net).is_none()) {
                            refused.push((route.net, Refused::by(&route.net, &refusal, &because)));
                        }
                        new = left;
                    }
                    None => refuse_all(&mut new, &mut refused, &refusal.cause()),
                },
                Err(error) => refuse_all(&mut new, &mut refused, &error.cause()),
            }
        }
        if !new.is_empty() {
            self.learned.extend(new.iter());
            let routes = routes_of(&self.lease);
            self.reach.send_modify(|reach| reach.routes = routes);
        }
        refused
    }

    /// Forgets the addresses longest unused, so that as many more fit.
    async fn make_room(&mut self, count: usize) -> Result<(), VpnTcpError> {
        let oldest = (self.learned.len() + count).saturating_sub(MOST_LEARNED);
        if oldest == 0 {
            return Ok(());
        }
        let forgotten: Vec<Route> = self.learned.drain(..oldest).collect();
        let kept = self
            .lease
            .plan()
            .routes()
            .iter()
            .filter(|route| !forgotten.contains(route));
        let plan = plan(&kept.collect(), self.lease.plan().dns())?;
        self.lease.update(&plan).await?;
        Ok(())
    }

    /// Asks a helper that came back for the same addresses, so that open connections go on.
    async fn regain(&mut self) -> Result<(), VpnTcpError> {
        let slot = self.lease.granted().slot;
        let deadline = Instant::now() + HELPER_RETURNS_WITHIN;
        loop {
            let error = match obtain(&self.ask, &self.learned, Some(slot)).await {
                Ok(fresh) => return self.go_on_with(fresh).await,
                Err(error) => error,
            };
            if Instant::now() >= deadline || !may_pass(&error) {
                return Err(error);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Puts a regained lease in the place of the lost one. What it has not got any more is told.
    async fn go_on_with(&mut self, fresh: Fresh) -> Result<(), VpnTcpError> {
        if same_addresses(fresh.lease.granted(), self.lease.granted()) {
            tracing::info!("the helper is back");
        } else {
            tracing::warn!("the helper is back with other addresses; open connections are lost");
        }
        self.resolver.0.asks().set_laptop(fresh.upstreams);
        self.resolver.0.name_servers_changed();
        self.capture.replace_tun(Some(fresh.tun)).await?;
        self.lease = fresh.lease;
        let all = self.lease.plan().routes();
        self.learned.retain(|route| all.contains(route));
        self.granted = all.iter().filter(|route| !self.learned.contains(route)).collect();
        let routes = routes_of(&self.lease);
        let warnings = [&self.warnings[..], &fresh.warnings].concat();
        self.reach.send_modify(|reach| {
            reach.routes = routes;
            reach.warnings = warnings;
        });
        Ok(())
    }
}

/// The networks of a lease, joined where they touch.
pub(crate) fn routes_of(lease: &Lease) -> Vec<IpNet> {
    let nets: Vec<IpNet> = lease.plan().routes().nets().map(|route| route.net()).collect();
    IpNet::aggregate(&nets)
}

/// What becomes of an address of an answer.
enum Decision {
    HandOut,
    Withhold(String),
    Route(Route),
}

/// Why the helper made no route.
enum Refused {
    /// Nobody misses it.
    NoIpv6,
    /// Another session has it, perhaps of the same cluster: packets go there, which is told as a warning.
    Shared,
    Because(String),
}

impl Refused {
    fn by(net: &TunnelCidr, refusal: &Refusal, because: &[Warning]) -> Self {
        if let Refusal::RangeRefused { why, .. } = refusal {
            return match why {
                RangeTrouble::NoIpv6 => Self::NoIpv6,
                RangeTrouble::Public
                | RangeTrouble::PublicByCluster
                | RangeTrouble::Denied
                | RangeTrouble::HelpersOwn => Self::Because(why.to_string()),
            };
        }
        let mut about = because.iter().filter(|warning| warning.is_about(*net)).peekable();
        if about.peek().is_some() && about.clone().all(Warning::is_shared) {
            return Self::Shared;
        }
        let conflict = about.find_map(|warning| match warning {
            Warning::InUse(conflict) => Some(conflict.to_string()),
            Warning::KeptOut { .. } | Warning::DoubtfulDomain { .. } => None,
        });
        Self::Because(conflict.unwrap_or_else(|| refusal.cause()))
    }
}

fn refuse_all(new: &mut Routes, refused: &mut Vec<(TunnelCidr, Refused)>, why: &str) {
    let all = std::mem::take(new);
    refused.extend(all.nets().map(|net| (net, Refused::Because(why.to_owned()))));
}

fn plan(routes: &Routes, dns: Option<&DnsPlan>) -> Result<Plan, VpnTcpError> {
    Plan::new(routes.iter(), dns.cloned()).map_err(|error| match error {
        PlanError::TooManyRoutes { given } => VpnTcpError::Refused(Refusal::TooManyRoutes {
            given,
            limit: slipway_helper_api::MAX_ROUTES,
        }),
        PlanError::TooManySuffixes { .. }
        | PlanError::SearchOutside { .. }
        | PlanError::SystemPort { .. } => VpnTcpError::Helper(ClientError::Unexpected),
    })
}

/// Whether a helper that is starting may still make up for an error.
fn may_pass(error: &VpnTcpError) -> bool {
    match error {
        VpnTcpError::Helper(
            ClientError::NoHelper { .. }
            | ClientError::Gone(_)
            | ClientError::Silent
            | ClientError::Garbled(_),
        ) => true,
        VpnTcpError::Helper(ClientError::Unexpected | ClientError::Refused(_)) => false,
        // The dead helper's device may be there for another moment.
        VpnTcpError::Refused(_) => true,
        VpnTcpError::Capture(_) | VpnTcpError::Listener(_) | VpnTcpError::NamesDoNotArrive { .. } => false,
    }
}

fn same_addresses(a: &Granted, b: &Granted) -> bool {
    (a.address, a.resolver) == (b.address, b.resolver)
}
