//! How the laptop's programs reach the session's resolver: which way, and going it.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;

use ipnet::IpNet;
use nix::errno::Errno;
use slipway_helper_api::{
    ClusterDomain, DnsGranted, DnsMode, DnsModeChoice, DnsPlan, DnsSuffix, DnsTrouble, HelperRefusal,
    Operation, Slot, TunnelCidr, is_within,
};
use slipway_laptop::{HostsLine, ResolvConf};

use crate::network::Network;
use crate::redirect::{self, Redirect};
use crate::refuse::kernel;
use crate::resolved::{self, ResolvedLink};
use crate::slots::Addresses;
use crate::upstream::Upstreams;

/// What the laptop says of its names.
#[derive(Debug, Clone)]
pub(crate) struct Laptop {
    /// What programs ask.
    conf: ResolvConf,
    /// What resolved asks.
    uplinks: ResolvConf,
    nss_resolve: bool,
}

impl Laptop {
    /// Reads the laptop's files.
    pub(crate) fn read() -> Result<Self, DnsTrouble> {
        let nsswitch = std::fs::read_to_string("/etc/nsswitch.conf").unwrap_or_default();
        Ok(Self {
            conf: read("/etc/resolv.conf")?,
            uplinks: read("/run/systemd/resolve/resolv.conf")?,
            nss_resolve: HostsLine::parse(&nsswitch).asks_resolved(),
        })
    }

    /// The name servers that must stay reachable.
    pub(crate) fn name_servers(&self) -> Vec<IpAddr> {
        self.conf.in_use(&self.uplinks)
    }

    /// Whether a cluster may have a domain that it says is its own. What the laptop searches is the laptop's, with all that
    /// is below it and around it.
    fn check(&self, cluster: Option<&ClusterDomain>) -> Result<(), HelperRefusal> {
        let Some(domain) = cluster.filter(|domain| !domain.is_default()) else {
            return Ok(());
        };
        let is_taken = |search: &DnsSuffix| {
            is_within(domain.as_str(), search.as_str()) || is_within(search.as_str(), domain.as_str())
        };
        let searched = [suffixes(&self.conf.search), suffixes(&self.uplinks.search)].concat();
        match searched.into_iter().find(is_taken) {
            Some(search) => Err(HelperRefusal::DomainRefused {
                domain: domain.clone(),
                search,
            }),
            None => Ok(()),
        }
    }

    /// Which way a choice means here.
    pub(crate) async fn choose(&self, choice: DnsModeChoice) -> Result<DnsMode, DnsTrouble> {
        let through_resolved = self.conf.is_resolved_stub() || self.nss_resolve;
        match choice {
            DnsModeChoice::Redirect => Ok(DnsMode::Redirect),
            DnsModeChoice::Auto if !through_resolved => Ok(DnsMode::Redirect),
            // A stub without the bus is still a name server to be redirected.
            DnsModeChoice::Auto => Ok(resolved::running()
                .await
                .map_or(DnsMode::Redirect, |()| DnsMode::Resolved)),
            DnsModeChoice::Resolved if !through_resolved => Err(DnsTrouble::NoResolved {
                reason: "/etc/resolv.conf names other servers".to_owned(),
            }),
            DnsModeChoice::Resolved => resolved::running().await.map(|()| DnsMode::Resolved),
        }
    }
}

/// Reads a resolv.conf. One that does not exist says what an empty one does.
fn read(path: &str) -> Result<ResolvConf, DnsTrouble> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(parse(&text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(parse("")),
        Err(error) => Err(DnsTrouble::NoResolvConf {
            errno: error.raw_os_error().unwrap_or_default(),
        }),
    }
}

fn parse(text: &str) -> ResolvConf {
    ResolvConf::parse(text, |device| nix::net::if_::if_nametoindex(device).ok())
}

/// The domains of a search list that the helper's protocol has a form for.
fn suffixes(search: &[String]) -> Vec<DnsSuffix> {
    search.iter().filter_map(|word| word.parse().ok()).collect()
}

/// Names as they are found during a lease.
#[derive(Debug)]
pub(crate) struct Names {
    plan: DnsPlan,
    way: AppliedMode,
    /// Name servers that no route led to: a program's query would fail before the redirect sees it.
    routed: Vec<TunnelCidr>,
}

#[derive(Debug)]
enum AppliedMode {
    Redirect(Redirect),
    Resolved(ResolvedLink),
}

/// Where a lease's names are to be found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LeaseDevice {
    pub(crate) slot: Slot,
    pub(crate) index: u32,
    pub(crate) addresses: Addresses,
}

impl Names {
    /// Goes the way that a plan means. `before` is what the lease had; it stays as it was if this fails.
    pub(crate) async fn set(
        before: &mut Option<Self>,
        place: LeaseDevice,
        plan: DnsPlan,
        network: &Network,
    ) -> Result<(DnsGranted, Vec<OwnedFd>), HelperRefusal> {
        let laptop = Laptop::read().map_err(HelperRefusal::DnsUnavailable)?;
        laptop.check(plan.zones().cluster.as_ref())?;
        let mode = laptop
            .choose(plan.mode())
            .await
            .map_err(HelperRefusal::DnsUnavailable)?;
        let servers = match mode {
            DnsMode::Redirect => &laptop.conf.servers,
            DnsMode::Resolved if laptop.conf.is_resolved_stub() => &laptop.uplinks.servers,
            DnsMode::Resolved => &laptop.conf.servers,
        };
        // Our own routes would make an unreachable server look reachable.
        let routed_before = before
            .as_mut()
            .map(|names| std::mem::take(&mut names.routed))
            .unwrap_or_default();
        let mut routed = Vec::new();
        let result = async {
            unroute(network, place, &routed_before).await?;
            let upstreams = Upstreams::open(servers, redirect::mark(place.slot))
                .map_err(|errno| kernel(Operation::OpenUpstream, errno))?;
            if mode == DnsMode::Redirect {
                route(network, place, &upstreams.unreachable, &mut routed).await?;
            }
            let way = Self::way(before.as_ref(), mode, place, servers, &plan).await?;
            Ok((upstreams, way))
        }
        .await;
        let (upstreams, way) = match result {
            Ok(done) => done,
            Err(refusal) => {
                unroute(network, place, &routed).await?;
                if let Some(names) = before {
                    names.routed = routed_before;
                    names.restore(place, network).await?;
                }
                return Err(refusal);
            }
        };
        let granted = DnsGranted {
            mode,
            laptop_search: suffixes(&laptop.conf.search),
            laptop_ndots: laptop.conf.ndots,
            upstreams: upstreams.names,
        };
        match (way, before.as_mut()) {
            (None, Some(names)) => {
                names.plan = plan;
                names.routed = routed;
            }
            (None, None) => return Err(HelperRefusal::Defect),
            (Some(way), _) => {
                let old = before.replace(Self { plan, way, routed });
                // From resolved to resolved, the new settings have replaced the old on the same link.
                if let Some(old) = old
                    && mode == DnsMode::Redirect
                {
                    old.end().await;
                }
            }
        }
        Ok((granted, upstreams.sockets))
    }

    /// The new way; none where the old one could be changed in place.
    async fn way(
        before: Option<&Self>,
        mode: DnsMode,
        place: LeaseDevice,
        servers: &[SocketAddr],
        plan: &DnsPlan,
    ) -> Result<Option<AppliedMode>, HelperRefusal> {
        let refused = |errno: Errno| kernel(Operation::RedirectDns, errno);
        match (mode, before.map(|names| &names.way)) {
            (DnsMode::Redirect, Some(AppliedMode::Redirect(redirect))) => {
                redirect.reload(servers, plan.redirect_port()).map_err(refused)?;
                Ok(None)
            }
            (DnsMode::Redirect, None | Some(AppliedMode::Resolved(_))) => {
                let redirect = Redirect::load(place.slot, servers, plan.redirect_port()).map_err(refused)?;
                Ok(Some(AppliedMode::Redirect(redirect)))
            }
            (DnsMode::Resolved, None | Some(AppliedMode::Redirect(_) | AppliedMode::Resolved(_))) => {
                let link = ResolvedLink::apply(place.index, place.addresses.resolver, plan).await;
                link.map(|link| Some(AppliedMode::Resolved(link)))
                    .map_err(HelperRefusal::DnsUnavailable)
            }
        }
    }

    /// Goes the old way again, after another was tried.
    async fn restore(&self, place: LeaseDevice, network: &Network) -> Result<(), HelperRefusal> {
        for route in &self.routed {
            network
                .add_route(place.index, route.net())
                .await
                .map_err(|_| HelperRefusal::Defect)?;
        }
        match &self.way {
            // It is changed at once or not at all.
            AppliedMode::Redirect(_) => Ok(()),
            AppliedMode::Resolved(link) => link.restore().await.map_err(|_| HelperRefusal::Defect),
        }
    }

    /// The way that was taken.
    pub(crate) fn mode(&self) -> DnsMode {
        match self.way {
            AppliedMode::Redirect(_) => DnsMode::Redirect,
            AppliedMode::Resolved(_) => DnsMode::Resolved,
        }
    }

    /// Has the laptop find names as before. The routes go with the device.
    pub(crate) async fn end(self) {
        match self.way {
            AppliedMode::Redirect(redirect) => drop(redirect),
            AppliedMode::Resolved(link) => link.revert().await,
        }
    }

    /// As [`Names::end`], for a lease whose device stays.
    pub(crate) async fn off(self, place: LeaseDevice, network: &Network) -> Result<(), HelperRefusal> {
        let routed = self.routed.clone();
        self.end().await;
        unroute(network, place, &routed).await
    }
}

/// Routes name servers into the device. One that may never be routed (link-local) is left out: it cannot be asked either.
async fn route(
    network: &Network,
    place: LeaseDevice,
    servers: &[SocketAddr],
    routed: &mut Vec<TunnelCidr>,
) -> Result<(), HelperRefusal> {
    for single in servers
        .iter()
        .filter_map(|server| TunnelCidr::single(server.ip()).ok())
    {
        match network.add_route(place.index, single.net()).await {
            Ok(()) => routed.push(single),
            Err(errno) if matches!(single.net(), IpNet::V6(_)) => {
                tracing::debug!(%errno, "an IPv6 name server cannot be routed");
            }
            Err(errno) => return Err(kernel(Operation::AddRoute, errno)),
        }
    }
    Ok(())
}

async fn unroute(network: &Network, place: LeaseDevice, routed: &[TunnelCidr]) -> Result<(), HelperRefusal> {
    for route in routed {
        let removed = network.remove_route(place.index, route.net()).await;
        removed.map_err(|errno| kernel(Operation::RemoveRoute, errno))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_that_the_laptop_searches_is_no_clusters() {
        let searching = |search: &str| Laptop {
            conf: parse(&format!("nameserver 192.0.2.53\nsearch {search}\n")),
            uplinks: parse(""),
            nss_resolve: false,
        };
        let may_have = |domain: &str, search: &str| {
            let domain = domain.parse().expect("domain");
            searching(search).check(Some(&domain)).is_ok()
        };
        assert!(may_have("k8s.example", "corp.internal"));
        assert!(may_have("cluster.local", "cluster.local"));
        assert!(!may_have("corp.internal", "corp.internal"));
        assert!(!may_have("k8s.corp.internal", "corp.internal"));
        assert!(!may_have("corp.internal", "berlin.corp.internal"));
    }
}
