//! Start of the method: lease, rules about names, capture, and a test of DNS.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::sync::Arc;

use slipway_capture::{Capture, Lost, Setup, TunAddresses};
use slipway_helper_api::{ClusterDomain, DnsModeChoice, DnsPlan, Granted, MAX_NAME_SERVERS, RedirectPort};
use slipway_helper_client::ClientError;
use slipway_laptop::Routing;
use slipway_method::{
    CaptureResolver, Connection, DomainSource, Doubt, NamePlan, Trust, TunnelFarEnd, Upstreams, laptop_names,
};
use slipway_names::Name;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::changer::VpnChanger;
use crate::domains::{self, Applied, Domains, Wanted};
use crate::error::{Ended, VpnTcpError};
use crate::keeper::Keeper;
use crate::laptop_files::LaptopFiles;
use crate::lease::{LeaseRequest, NewLease, laptop_search, obtain, our_search, routes_of};
use crate::lease_side::{LeaseSide, Names};
use crate::listener::Listeners;
use crate::name_servers::NameServers;
use crate::overridden;
use crate::plan::{Warning, routable};
use crate::probe::VpnProbe;
use crate::reach::Reach;
use crate::report::{Reporter, dns_words};
use crate::running::Running;
use crate::self_test::names_arrive;

/// Capacity of the keeper's queue.
const NEEDS: usize = 64;

/// Connects the laptop. When this returns, programs reach the cluster by name.
///
/// # Errors
/// [`VpnTcpError`], after everything was undone.
pub(crate) async fn start(helper: PathBuf, connection: Connection) -> Result<Running, VpnTcpError> {
    let Connection {
        tunnel,
        packets,
        names: mut plan,
        networks,
        never,
        observer,
        elders,
    } = connection;
    let listeners = Listeners::bind().await.map_err(VpnTcpError::Listener)?;
    let (routes, unroutable) = routable(&networks.declared, &networks.users, &never.borrow());
    plan.scope.reserved.extend(laptop_names());
    plan.scope.domain_is_doubtful = trust(&plan, &[]) != Trust::Given;
    let mut domains = Domains::new(&plan);
    let files = LaptopFiles::read();
    let routing = Routing::watch();
    let mut request = LeaseRequest {
        socket: helper,
        routes,
        dns: Some(dns_plan(&domains, listeners.ports())?),
    };
    let NewLease {
        mut lease,
        tun,
        upstreams,
        warnings: refused,
    } = obtain(&request, &[], None).await?;
    let granted = lease.granted().clone();

    let (needs, needed) = mpsc::channel(NEEDS);
    let (reach_sender, reach) = watch::channel(Reach::default());
    let servers = NameServers::new(needs.clone());
    servers.replace(granted.dns.as_ref(), upstreams);
    let laptop_side = LeaseSide::new(servers.clone(), needs.clone(), reach.clone());
    plan.scope.laptop_search = laptop_search(&lease);
    plan.scope.our_search = our_search(&lease);
    let upstreams = Upstreams::new(tunnel.clone(), laptop_side, elders);
    let names = Names::new(plan.scope.clone(), upstreams, observer);
    let doubt = doubt(&plan, &names).await.map(|doubt| Warning::DoubtfulDomain {
        domain: plan.scope.cluster_domain.clone(),
        doubt,
    });
    match doubt {
        None if plan.scope.domain_is_doubtful => {
            plan.scope.domain_is_doubtful = false;
            domains = Domains::new(&plan);
            let dns = dns_plan(&domains, listeners.ports())?;
            let sockets = lease.set_dns(dns.clone()).await?;
            servers.replace(lease.granted().dns.as_ref(), sockets);
            plan.scope.our_search = our_search(&lease);
            names.set_scope(plan.scope.clone());
            request.dns = Some(dns);
        }
        Some(_) | None => {}
    }
    let granted_routes = lease.plan().routes().clone();
    let routes = routes_of(&lease);
    let first = Reach {
        overridden: overridden::check(&routes).await,
        routes,
        dns: lease.granted().dns.as_ref().map(|dns| dns.mode),
        warnings: [&unroutable[..], doubt.as_slice(), &refused].concat(),
        ..Reach::default()
    };
    for warning in &first.warnings {
        tracing::warn!("{warning}");
    }
    for overridden in &first.overridden {
        tracing::warn!("{overridden}");
    }
    let far_end = TunnelFarEnd::new(tunnel);
    let resolver = CaptureResolver::new(names.clone());
    let capture = Capture::start(tun, setup(&granted), far_end.clone(), resolver).await?;
    let capture = Arc::new(capture);
    let reporter = Reporter {
        resolver: granted.resolver.into(),
        back_end: capture.back_end(),
    };
    let (report_sender, report) = watch::channel(reporter.report(&first));
    let dns = dns_words(first.dns);
    reach_sender.send_replace(first);

    let mut tasks = JoinSet::new();
    tasks.spawn(far_end.return_packets(packets, capture.replies()));
    tasks.spawn(listeners.serve(names.clone()));
    tasks.spawn(files.follow(servers.clone(), needs.clone()));
    tasks.spawn(overridden::follow(routing, reach_sender.clone(), needs.clone()));
    tasks.spawn(reporter.follow(reach.clone(), report_sender));
    let wanted = watch::Sender::new(Wanted {
        namespaces: plan.scope.namespaces.clone(),
        domains,
        number: 0,
    });
    let (now_applied, applied) = watch::channel(Applied::default());
    tasks.spawn(domains::follow(
        wanted.subscribe(),
        now_applied,
        reach_sender.clone(),
        names.clone(),
        needs.clone(),
    ));
    let changer = Arc::new(VpnChanger {
        names: names.clone(),
        wanted: wanted.clone(),
        applied,
        needs,
        reach: reach.clone(),
        plan: plan.clone(),
    });
    let probe = Arc::new(VpnProbe::new(names.clone(), reach));
    let (end, ended) = watch::channel(None);
    let keeper = Keeper {
        request,
        lease,
        capture: capture.clone(),
        names: names.clone(),
        servers,
        never,
        declared: networks.declared,
        users: networks.users,
        user_names: BTreeMap::new(),
        needs: needed,
        granted: granted_routes,
        learned: Vec::new(),
        unroutable,
        doubt,
        refused,
        domain_is_doubtful: plan.scope.domain_is_doubtful,
        lost_domain: None,
        reach: reach_sender,
    };
    tasks.spawn(watch_over(keeper, capture.clone(), end));
    let running = Running {
        capture,
        names,
        wanted,
        changer,
        probe,
        report,
        ended,
        tasks,
    };
    if !names_arrive().await {
        slipway_method::RunningMethod::stop(Box::new(running)).await;
        return Err(VpnTcpError::NamesDoNotArrive { mode: dns });
    }
    Ok(running)
}

/// Returns the setup of a capture for the granted TUN.
fn setup(granted: &Granted) -> Setup {
    let v4 = TunAddresses {
        laptop: granted.address.into(),
        other: granted.resolver.into(),
    };
    // The network is a /126, and the laptop has its first address.
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

fn dns_plan(domains: &Domains, ports: [RedirectPort; MAX_NAME_SERVERS]) -> Result<DnsPlan, VpnTcpError> {
    DnsPlan::new(domains.with(&[]).0, ports, DnsModeChoice::Auto)
        .map_err(|_| VpnTcpError::Helper(ClientError::Unexpected))
}

/// Judges whether the cluster domain belongs to the cluster. One that the helper refuses from a cluster does not.
fn trust(plan: &NamePlan, searched: &[Name]) -> Trust {
    let domain = plan.scope.cluster_domain.to_string();
    let is_refused = || domain.trim_end_matches('.').parse::<ClusterDomain>().is_err();
    if plan.domain_source == DomainSource::Cluster && is_refused() {
        return Trust::Doubted(Doubt::Public);
    }
    plan.trust(searched)
}

/// Returns why the cluster domain may not belong to the cluster, if so. Asks the laptop's name servers if nothing else
/// decides.
async fn doubt(plan: &NamePlan, names: &Names) -> Option<Doubt> {
    match trust(plan, &plan.scope.laptop_search.domains) {
        Trust::Given => None,
        Trust::Doubted(doubt) => Some(doubt),
        Trust::Unless => match names.laptop_has_domain(&plan.scope.cluster_domain).await {
            Some(false) => None,
            Some(true) => Some(Doubt::OnLaptop),
            None => Some(Doubt::Unknown),
        },
    }
}

/// Runs the keeper until the laptop cannot stay connected, and publishes the reason.
async fn watch_over(keeper: Keeper, capture: Arc<Capture>, end: watch::Sender<Option<Arc<Ended>>>) {
    let lost_namespace = async {
        while capture.lost().await != Lost::Namespace {
            // A broken device means that the helper ended, which the keeper handles.
        }
    };
    let ended = tokio::select! {
        error = keeper.keep() => Ended::HelperGone(error),
        () = lost_namespace => Ended::NamespaceGone,
    };
    end.send_replace(Some(Arc::new(ended)));
}
