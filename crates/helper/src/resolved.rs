//! DNS mode systemd-resolved: resolved asks the session's resolver about the session's domains, and only those. Its
//! D-Bus interface is described in org.freedesktop.resolve1(5).

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use slipway_helper_api::{DnsPlan, DnsTrouble};
use tokio::task::JoinSet;
use tokio::time::timeout;
use zbus::Connection;
use zbus::fdo::DBusProxy;

use crate::given::{Given, GivenLink};

/// DNS settings of a link in systemd-resolved. They end with the link, or earlier with [`ResolvedLink::revert`].
#[derive(Debug)]
pub(crate) struct ResolvedLink {
    manager: ManagerProxy<'static>,
    settings: Arc<Settings>,
    _given: Arc<GivenLink>,
    /// Task that applies the settings again after a restart of resolved.
    _watch: JoinSet<()>,
}

impl ResolvedLink {
    /// Sets resolved to ask `resolver` about the plan's domains over the link.
    pub(crate) async fn apply(
        index: u32,
        resolver: Ipv4Addr,
        plan: &DnsPlan,
        given: &Given,
    ) -> Result<Self, DnsTrouble> {
        let settings = Arc::new(Settings::new(index, resolver, plan)?);
        // Before the calls, because resolved may write its files before it answers.
        let link = given.add(resolver, plan);
        let join = async {
            let bus = Connection::system().await?;
            let manager = ManagerProxy::new(&bus).await?;
            // Watch first, to notice a restart while the settings are applied.
            let dbus = DBusProxy::new(&bus).await?;
            let owners = dbus.receive_name_owner_changed_with_args(&[(0, SERVICE)]).await?;
            Ok::<_, zbus::Error>((manager, owners))
        };
        let (manager, mut owners) = timeout(CALL_WAIT, join)
            .await
            .map_err(|_| silent())?
            .map_err(|error| absent(&error))?;
        if let Err(trouble) = settings.apply(&manager).await {
            revert(&manager, settings.index).await;
            return Err(trouble);
        }
        let mut watch = JoinSet::new();
        let (again, wanted) = (manager.clone(), Arc::clone(&settings));
        watch.spawn(async move {
            while let Some(change) = owners.next().await {
                let started = change.args().is_ok_and(|args| args.new_owner().is_some());
                if started && let Err(trouble) = wanted.apply(&again).await {
                    tracing::warn!(
                        cause = trouble.cause(),
                        "resolved refused the settings after its restart"
                    );
                }
            }
        });
        Ok(Self {
            manager,
            settings,
            _given: link,
            _watch: watch,
        })
    }

    /// Applies these settings again, after others were tried on the same link.
    pub(crate) async fn restore(&self) -> Result<(), DnsTrouble> {
        self.settings.apply(&self.manager).await
    }

    /// Removes the settings from the link.
    pub(crate) async fn revert(self) {
        revert(&self.manager, self.settings.index).await;
    }
}

async fn revert(manager: &ManagerProxy<'_>, index: i32) {
    let end = async {
        manager.revert_link(index).await?;
        manager.flush_caches().await
    };
    match timeout(CALL_WAIT, end).await {
        Ok(Ok(())) => {}
        // The settings end with the link in any case.
        Ok(Err(error)) => tracing::debug!(%error, "resolved did not revert the link"),
        Err(_) => tracing::debug!("resolved did not answer"),
    }
}

/// Checks that resolved is on the system bus.
pub(crate) async fn running() -> Result<(), DnsTrouble> {
    let ask = async {
        let bus = Connection::system().await?;
        DBusProxy::new(&bus)
            .await?
            .name_has_owner(SERVICE.try_into()?)
            .await
            .map_err(zbus::Error::from)
    };
    match timeout(CALL_WAIT, ask).await {
        Ok(Ok(true)) => Ok(()),
        Ok(Ok(false)) => Err(DnsTrouble::NoResolved {
            reason: "it is not on the system bus".to_owned(),
        }),
        Ok(Err(error)) => Err(absent(&error)),
        Err(_) => Err(silent()),
    }
}

const SERVICE: &str = "org.freedesktop.resolve1";
/// Time limit for one exchange over the system bus.
const CALL_WAIT: Duration = Duration::from_secs(5);

#[derive(Debug)]
struct Settings {
    index: i32,
    resolver: Ipv4Addr,
    /// Names; true for those that only route, false for search domains.
    domains: Vec<(String, bool)>,
}

impl Settings {
    fn new(index: u32, resolver: Ipv4Addr, plan: &DnsPlan) -> Result<Self, DnsTrouble> {
        let index = i32::try_from(index).map_err(|error| DnsTrouble::NoResolved {
            reason: error.to_string(),
        })?;
        let zones = plan.zones();
        let search: Vec<&str> = zones.search.iter().map(|suffix| suffix.as_str()).collect();
        let others = zones.all().into_iter().filter(|zone| !search.contains(zone));
        let domains = search
            .iter()
            .map(|suffix| ((*suffix).to_owned(), false))
            .chain(others.map(|zone| (zone.to_owned(), true)))
            .collect();
        Ok(Self {
            index,
            resolver,
            domains,
        })
    }

    async fn apply(&self, manager: &ManagerProxy<'_>) -> Result<(), DnsTrouble> {
        let index = self.index;
        let calls = async {
            // Before the server is set, so that resolved never asks it for other names.
            manager.set_link_default_route(index, false).await?;
            manager.set_link_llmnr(index, "no").await?;
            manager.set_link_multicast_dns(index, "no").await?;
            // The cluster's DNS has neither DNSSEC nor TLS, even if the laptop demands both of its other servers.
            manager.set_link_dnssec(index, "no").await?;
            manager.set_link_dns_over_tls(index, "no").await?;
            let domains: Vec<_> = self
                .domains
                .iter()
                .map(|(name, routes)| (name.as_str(), *routes))
                .collect();
            manager.set_link_domains(index, &domains).await?;
            manager
                .set_link_dns(index, &[(libc::AF_INET, self.resolver.octets().to_vec())])
                .await?;
            // Cached answers for these names are wrong now. If this fails, they expire later.
            if let Err(error) = manager.flush_caches().await {
                tracing::debug!(%error, "resolved did not flush its caches");
            }
            Ok::<(), zbus::Error>(())
        };
        match timeout(CALL_WAIT, calls).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(DnsTrouble::ResolvedRefused {
                reason: error.to_string(),
            }),
            Err(_) => Err(silent()),
        }
    }
}

#[zbus::proxy(
    interface = "org.freedesktop.resolve1.Manager",
    default_service = "org.freedesktop.resolve1",
    default_path = "/org/freedesktop/resolve1",
    gen_blocking = false
)]
trait Manager {
    #[zbus(name = "SetLinkDNS")]
    fn set_link_dns(&self, index: i32, addresses: &[(i32, Vec<u8>)]) -> zbus::Result<()>;
    fn set_link_domains(&self, index: i32, domains: &[(&str, bool)]) -> zbus::Result<()>;
    fn set_link_default_route(&self, index: i32, enable: bool) -> zbus::Result<()>;
    #[zbus(name = "SetLinkLLMNR")]
    fn set_link_llmnr(&self, index: i32, mode: &str) -> zbus::Result<()>;
    #[zbus(name = "SetLinkMulticastDNS")]
    fn set_link_multicast_dns(&self, index: i32, mode: &str) -> zbus::Result<()>;
    #[zbus(name = "SetLinkDNSSEC")]
    fn set_link_dnssec(&self, index: i32, mode: &str) -> zbus::Result<()>;
    #[zbus(name = "SetLinkDNSOverTLS")]
    fn set_link_dns_over_tls(&self, index: i32, mode: &str) -> zbus::Result<()>;
    fn revert_link(&self, index: i32) -> zbus::Result<()>;
    fn flush_caches(&self) -> zbus::Result<()>;
}

fn absent(error: &zbus::Error) -> DnsTrouble {
    DnsTrouble::NoResolved {
        reason: error.to_string(),
    }
}

fn silent() -> DnsTrouble {
    DnsTrouble::NoResolved {
        reason: "the system bus does not answer".to_owned(),
    }
}
