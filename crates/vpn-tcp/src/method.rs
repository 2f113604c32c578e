//! One connection's worth of the whole laptop, from start to stop.

use std::net::{IpAddr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ipnet::IpNet;
use slipway_capture::private_namespace::check_tun;
use slipway_capture::{BackEnd, Capture, Lost, Setup, TunAddresses};
use slipway_helper_api::{
    Client, ClientError, DnsPlan, Granted, Plan, RedirectPort, Refusal, RouteOrigin, Rung, RungChoice,
};
use slipway_names::{Explanation, Finding, Name, Namespaces, Observer, Scope, SearchList};
use slipway_tunnel::{Tunnel, TunnelEvent};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::asks::SessionAsks;
use crate::cluster_domain::{DomainSaidBy, Doubt, Trust, judge};
use crate::domains::Domains;
use crate::error::{Ended, VpnTcpError};
use crate::far_end::Agent;
use crate::laptop_names;
use crate::lease::{Ask, Fresh, Keeper, Reach, obtain, routes_of};
use crate::listener::Listener;
use crate::plan::{Warning, routable};
use crate::resolver::Resolver;
use crate::self_test::names_reach_us;

/// What the resolver may be waiting for at one time.
const NEEDS: usize = 64;

/// What the whole laptop is to be connected to.
pub struct Wanted {
    /// The helper's socket.
    pub helper: PathBuf,
    /// The networks that the cluster declares as its own.
    pub declared: Vec<IpNet>,
    /// The networks that the user sends through the cluster.
    pub users: Vec<IpNet>,
    /// Addresses that must never go there, whatever range they lie in: they carry the tunnel itself.
    pub own_way: Vec<IpAddr>,
    /// The names by which the laptop reaches the API server: its own, and that of a proxy before it.
    pub api_server: Vec<Name>,
    /// The rules about names. The laptop's own search domains are filled in from the helper's answer, the names that it
    /// has a meaning for itself from its files, and whether the cluster's domain is doubtful from both.
    pub scope: Scope,
    /// Who says what the cluster's domain is.
    pub domain_said_by: DomainSaidBy,
    /// Domains and hosts that the user sends to the cluster.
    pub zones: Vec<String>,
    /// Hears of every answered question.
    pub observer: Observer,
}

/// The connected laptop.
pub struct VpnTcp {
    capture: Arc<Capture>,
    resolver: Resolver,
    agent: Agent,
    granted: Granted,
    reach: watch::Receiver<Reach>,
    namespaces: watch::Sender<Namespaces>,
    helper_away: watch::Receiver<bool>,
    ended: watch::Receiver<Option<Arc<Ended>>>,
    tasks: JoinSet<()>,
}

impl VpnTcp {
    /// Whether the laptop has what a connection needs: a TUN device, a helper of our version, a resolver that can be
    /// led to us. Cheap: to be asked before anything is made in the cluster. Whether the user is allowed shows later.
    ///
    /// # Errors
    ///
    /// [`VpnTcpError`], as [`VpnTcp::start`] would fail.
    pub async fn check(helper: &Path) -> Result<(), VpnTcpError> {
        let mut client = Client::connect(helper).await?;
        check_tun()?;
        match client.status().await?.names {
            Ok(_rung) => Ok(()),
            Err(trouble) => Err(VpnTcpError::Refused(Refusal::DnsUnavailable(trouble))),
        }
    }

    /// Connects the laptop. When this returns, programs reach the cluster by name.
    ///
    /// # Errors
    ///
    /// [`VpnTcpError`]; nothing is left then.
    pub async fn start(wanted: Wanted, tunnel: Tunnel) -> Result<VpnTcp, VpnTcpError> {
        let listener = Listener::bind().await.map_err(VpnTcpError::Listener)?;
        let ranges: Vec<(IpNet, RouteOrigin)> = by(RouteOrigin::Declared, &wanted.declared)
            .chain(by(RouteOrigin::User, &wanted.users))
            .collect();
        let (routes, mut warnings) = routable(&ranges, &wanted.own_way);
        let mut scope = wanted.scope;
        scope.reserved.extend(laptop_names::read());
        scope.api_server.extend(wanted.api_server.iter().cloned());
        let said_by = wanted.domain_said_by;
        let first = judge(&scope.cluster_domain, said_by, &[], &wanted.api_server);
        scope.domain_is_doubtful = first != Trust::Given;
        let mut domains = Domains::new(&scope, said_by, &wanted.zones);
        let mut ask = Ask {
            socket: wanted.helper,
            routes,
            dns: Some(dns_plan(&domains, listener.port())?),
        };
        let Fresh {
            mut lease,
            tun,
            upstreams,
            warnings: refused,
        } = obtain(&ask, &[], None).await?;
        let granted = lease.granted().clone();

        let (needs, needed) = mpsc::channel(NEEDS);
        let (tell_reach, reach) = watch::channel(Reach::default());
        let asks = SessionAsks::new(tunnel.clone(), needs.clone(), reach.clone());
        asks.set_laptop(upstreams);
        let namespaces = watch::Sender::new(scope.namespaces.clone());
        scope.laptop_search = laptop_search(&granted);
        scope.our_search = our_search(&granted, &domains);
        let searched = scope.laptop_search.domains.clone();
        let resolver = Resolver(slipway_names::Resolver::new(scope.clone(), asks, wanted.observer));
        let trust = judge(&scope.cluster_domain, said_by, &searched, &wanted.api_server);
        match doubt(&scope.cluster_domain, trust, &resolver).await {
            Some(doubt) => warnings.push(Warning::DoubtfulDomain {
                domain: scope.cluster_domain.clone(),
                doubt,
            }),
            None if scope.domain_is_doubtful => {
                scope.domain_is_doubtful = false;
                domains = Domains::new(&scope, said_by, &wanted.zones);
                scope.our_search = our_search(&granted, &domains);
                let dns = dns_plan(&domains, listener.port())?;
                let plan = Plan::new(lease.plan().routes().iter(), Some(dns.clone()));
                let plan = plan.map_err(|_| VpnTcpError::Helper(ClientError::Unexpected))?;
                resolver.0.asks().set_laptop(lease.update(&plan).await?);
                resolver.0.set_scope(scope);
                ask.dns = Some(dns);
            }
            None => {}
        }
        let granted_routes = lease.plan().routes().clone();
        tell_reach.send_replace(Reach {
            routes: routes_of(&lease),
            warnings: [&warnings[..], &refused].concat(),
            ..Reach::default()
        });
        let agent = Agent::new(tunnel);
        let started = Capture::start(tun, setup(&granted), agent.clone(), resolver.clone()).await;
        let capture = Arc::new(started?);

        let mut tasks = JoinSet::new();
        tasks.spawn(listener.serve(resolver.clone()));
        let (end, ended) = watch::channel(None);
        let (away, helper_away) = watch::channel(false);
        let keeper = Keeper {
            ask,
            lease,
            capture: capture.clone(),
            resolver: resolver.clone(),
            own_way: wanted.own_way,
            users: wanted.users,
            needs: needed,
            granted: granted_routes,
            learned: Vec::new(),
            warnings,
            reach: tell_reach,
            away,
        };
        tasks.spawn(watch_over(keeper, capture.clone(), end));
        if granted.dns.as_ref().is_some_and(|dns| dns.rung == Rung::Resolved) {
            tasks.spawn(domains.follow(namespaces.subscribe(), resolver.clone(), needs));
        }

        let method = VpnTcp {
            capture,
            resolver,
            agent,
            granted,
            reach,
            namespaces,
            helper_away,
            ended,
            tasks,
        };
        if !names_reach_us().await {
            let way = method.names_by();
            method.stop().await;
            return Err(VpnTcpError::NamesDoNotArrive { way });
        }
        Ok(method)
    }

    /// Gives to the programs what the agent said without being asked.
    pub fn deliver(&self, event: TunnelEvent) {
        self.agent.deliver(event, &self.capture.replies());
    }

    /// What goes to the cluster and what could not be had, as it changes.
    pub fn reach(&self) -> watch::Receiver<Reach> {
        self.reach.clone()
    }

    /// How the laptop's names reach us, in words for people.
    pub fn names_by(&self) -> String {
        self.granted
            .dns
            .as_ref()
            .map_or_else(|| "nothing".to_owned(), |dns| dns.rung.to_string())
    }

    /// Where questions about names are answered.
    pub fn resolver(&self) -> IpAddr {
        IpAddr::V4(self.granted.resolver)
    }

    /// Takes the cluster's namespaces as they are now.
    pub fn set_namespaces(&self, namespaces: Namespaces) {
        let scope = Scope::clone(&self.resolver.0.scope());
        self.resolver.0.set_scope(Scope {
            namespaces: namespaces.clone(),
            ..scope
        });
        self.namespaces.send_if_modified(|before| {
            let is_new = *before != namespaces;
            *before = namespaces;
            is_new
        });
    }

    /// How packets become connections.
    pub fn captured_by(&self) -> BackEnd {
        self.capture.back_end()
    }

    /// Forgets answers, as after the way to the cluster was lost.
    pub fn forget_answers(&self) {
        self.resolver.0.flush();
    }

    /// What explains names for as long as it is held, apart from this value.
    pub fn explainer(&self) -> Explainer {
        Explainer(self.resolver.clone())
    }

    /// Whether the helper is gone for now, which takes the laptop's routes and names with it.
    pub fn helper_away(&self) -> watch::Receiver<bool> {
        self.helper_away.clone()
    }

    /// Waits until the laptop is not connected any more, for a reason of its own.
    pub async fn ended(&self) -> Arc<Ended> {
        let mut ended = self.ended.clone();
        match ended.wait_for(Option::is_some).await.map(|end| (*end).clone()) {
            Ok(Some(end)) => end,
            Ok(None) | Err(_) => Arc::new(Ended::NamespaceGone),
        }
    }

    /// Takes everything away and waits until it is gone.
    pub async fn stop(mut self) {
        // With its keeper the lease ends: device, routes and names go before the namespace behind them does.
        self.tasks.shutdown().await;
        match Arc::try_unwrap(self.capture) {
            Ok(capture) => capture.stop().await,
            Err(shared) => drop(shared),
        }
    }
}

/// Explains names of a connected laptop.
#[derive(Clone)]
pub struct Explainer(Resolver);

impl Explainer {
    /// Asks both sides about a name that a program may be given, now, and says why it answers as it does.
    pub async fn explain(&self, name: &Name) -> Explanation {
        self.0.0.explain(name).await
    }

    /// The same for a name that is whole: no search domain is put behind it.
    pub async fn explain_whole(&self, name: &Name) -> Explanation {
        self.0.0.explain_whole(name).await
    }

    /// What the cluster says about a name as it is, now; `None` if there is nobody to ask.
    pub async fn in_cluster(&self, name: &Name) -> Option<Finding> {
        self.0.0.in_cluster(name).await
    }
}

/// What a capture has to know of the TUN that the helper granted.
fn setup(granted: &Granted) -> Setup {
    let v4 = TunAddresses {
        laptop: granted.address.into(),
        other: granted.resolver.into(),
    };
    // Its network is a /126 whose first address is the laptop's.
    let v6 = granted.address6.map(|address| TunAddresses {
        laptop: address.into(),
        other: Ipv6Addr::from_bits(address.to_bits() ^ 3).into(),
    });
    Setup {
        resolver_addresses: vec![granted.resolver.into()],
        tun_addresses: std::iter::once(v4).chain(v6).collect(),
        ..Setup::default()
    }
}

fn by(origin: RouteOrigin, ranges: &[IpNet]) -> impl Iterator<Item = (IpNet, RouteOrigin)> {
    ranges.iter().map(move |range| (*range, origin))
}

fn dns_plan(domains: &Domains, port: u16) -> Result<DnsPlan, VpnTcpError> {
    let unexpected = |_| VpnTcpError::Helper(ClientError::Unexpected);
    let port = RedirectPort::try_from(port).map_err(unexpected)?;
    DnsPlan::new(domains.with(&[]), port, RungChoice::Auto).map_err(unexpected)
}

/// Why the cluster's domain may be somebody else's, where it may. Asks the laptop's own name servers if nothing else tells.
async fn doubt(domain: &Name, trust: Trust, resolver: &Resolver) -> Option<Doubt> {
    match trust {
        Trust::Given => None,
        Trust::Doubted(doubt) => Some(doubt),
        Trust::Unless => match resolver.0.laptop_has_domain(domain).await {
            Some(false) => None,
            Some(true) => Some(Doubt::OnLaptop),
            None => Some(Doubt::Unknown),
        },
    }
}

/// The domains that the laptop's resolver searches because of us: all DNS comes here otherwise, short names too.
fn our_search(granted: &Granted, domains: &Domains) -> Vec<Name> {
    if granted.dns.as_ref().is_none_or(|dns| dns.rung != Rung::Resolved) {
        return Vec::new();
    }
    let search = domains.with(&[]).search;
    search
        .iter()
        .filter_map(|suffix| suffix.as_str().parse().ok())
        .collect()
}

fn laptop_search(granted: &Granted) -> SearchList {
    let Some(dns) = &granted.dns else {
        return SearchList::default();
    };
    let search = dns.laptop_search.iter();
    SearchList {
        domains: search.filter_map(|suffix| suffix.as_str().parse().ok()).collect(),
        ndots: dns.laptop_ndots.into(),
    }
}

async fn watch_over(keeper: Keeper, capture: Arc<Capture>, end: watch::Sender<Option<Arc<Ended>>>) {
    let lost_namespace = async {
        while capture.lost().await != Lost::Namespace {
            // A device that broke belongs to a helper that ended, which its keeper deals with.
        }
    };
    let ended = tokio::select! {
        error = keeper.keep() => Ended::HelperGone(error),
        () = lost_namespace => Ended::NamespaceGone,
    };
    end.send_replace(Some(Arc::new(ended)));
}
