//! Chooses and applies the DNS mode of a lease: nft redirect or systemd-resolved.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;

use ipnet::IpNet;
use nix::errno::Errno;
use slipway_helper_api::{
    ClusterDomain, DnsGranted, DnsMode, DnsModeChoice, DnsPlan, DnsSuffix, DnsTrouble, HelperRefusal,
    Operation, Slot, TunnelCidr, is_within,
};
use slipway_laptop::{HostsLine, NSSWITCH_CONF, RESOLV_CONF, RESOLVED_UPLINKS, ResolvConf};

use crate::conflict::InUseNow;
use crate::given::Given;
use crate::network::Network;
use crate::redirect::{self, Redirect, Target};
use crate::refuse::kernel;
use crate::resolved::{self, ResolvedLink};
use crate::slots::Addresses;
use crate::upstream::Upstreams;

/// DNS configuration files of the laptop.
#[derive(Debug, Clone)]
pub(crate) struct Laptop {
    /// `/etc/resolv.conf`: the servers that programs ask.
    conf: ResolvConf,
    /// `/run/systemd/resolve/resolv.conf`: the servers that systemd-resolved asks.
    uplinks: ResolvConf,
    /// Whether `/etc/nsswitch.conf` sends programs' lookups to systemd-resolved.
    nss_resolve: bool,
}

impl Laptop {
    /// Reads `/etc/resolv.conf`, systemd-resolved's copy, and `/etc/nsswitch.conf`, without what leases have `given` to
    /// systemd-resolved. Missing files count as empty.
    pub(crate) fn read(given: &Given) -> Result<Self, DnsTrouble> {
        let nsswitch = std::fs::read_to_string(NSSWITCH_CONF).unwrap_or_default();
        Ok(Self {
            conf: read(RESOLV_CONF, given)?,
            uplinks: read(RESOLVED_UPLINKS, given)?,
            nss_resolve: HostsLine::parse(&nsswitch).asks_resolved(),
        })
    }

    /// Name servers that must stay reachable.
    pub(crate) fn name_servers(&self) -> Vec<IpAddr> {
        self.conf.in_use(&self.uplinks)
    }

    /// Checks that a cluster's domain does not overlap the laptop's search domains: those, their subdomains and their
    /// parents belong to the laptop. The default domain is always allowed.
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

    /// Returns the DNS mode that a choice means on this laptop.
    pub(crate) async fn choose(&self, choice: DnsModeChoice) -> Result<DnsMode, DnsTrouble> {
        let through_resolved = self.conf.is_resolved_stub() || self.nss_resolve;
        match choice {
            DnsModeChoice::Redirect => Ok(DnsMode::Redirect),
            DnsModeChoice::Auto if !through_resolved => Ok(DnsMode::Redirect),
            // Without the system bus, the stub is still a name server whose questions can be redirected.
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

/// Reads a resolv.conf. A missing file counts as empty.
fn read(path: &str, given: &Given) -> Result<ResolvConf, DnsTrouble> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(parse(&text, given)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(parse("", given)),
        Err(error) => Err(DnsTrouble::NoResolvConf {
            errno: error.raw_os_error().unwrap_or_default(),
        }),
    }
}

fn parse(text: &str, given: &Given) -> ResolvConf {
    let index_of = |device: &str| nix::net::if_::if_nametoindex(device).ok();
    let mut conf = ResolvConf::parse_except(text, index_of, &given.resolvers());
    given.remove_from(&mut conf.search);
    conf
}

/// Domains of a search list, without those that are not valid in the helper's protocol.
fn suffixes(search: &[String]) -> Vec<DnsSuffix> {
    search.iter().filter_map(|word| word.parse().ok()).collect()
}

/// DNS of a lease: its plan, the applied mode, and the routes added for it.
#[derive(Debug)]
pub(crate) struct Names {
    plan: DnsPlan,
    applied: AppliedMode,
    /// Name servers without a route, which are routed into the device: otherwise a query would fail before the
    /// redirect.
    routed: Vec<TunnelCidr>,
}

#[derive(Debug)]
enum AppliedMode {
    Redirect(Redirect),
    Resolved(ResolvedLink),
}

/// Slot, interface index and addresses of a lease's device.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LeaseDevice {
    pub(crate) slot: Slot,
    pub(crate) index: u32,
    pub(crate) addresses: Addresses,
}

impl Names {
    /// Applies a DNS plan. On failure the previous one, in `before`, is restored.
    pub(crate) async fn set(
        before: &mut Option<Self>,
        device: LeaseDevice,
        plan: DnsPlan,
        network: &Network,
        given: &Given,
    ) -> Result<(DnsGranted, Vec<OwnedFd>), HelperRefusal> {
        let laptop = Laptop::read(given).map_err(HelperRefusal::DnsUnavailable)?;
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
            unroute(network, device, &routed_before).await?;
            let upstreams = Upstreams::open(servers, redirect::mark(device.slot))
                .map_err(|errno| kernel(Operation::OpenUpstream, errno))?;
            if mode == DnsMode::Redirect {
                route(network, device, &upstreams.unreachable, &mut routed).await?;
            }
            let applied = Self::apply_mode(before.as_ref(), mode, device, servers, &plan, given).await?;
            Ok((upstreams, applied))
        }
        .await;
        let (upstreams, applied) = match result {
            Ok(done) => done,
            Err(refusal) => {
                unroute(network, device, &routed).await?;
                if let Some(names) = before {
                    names.routed = routed_before;
                    names.restore(device, network).await?;
                }
                return Err(refusal);
            }
        };
        let granted = DnsGranted {
            mode,
            servers: servers.clone(),
            laptop_search: suffixes(&laptop.conf.search),
            laptop_ndots: laptop.conf.ndots,
            laptop_timeout: laptop.conf.timeout,
            upstreams: upstreams.names,
        };
        match (applied, before.as_mut()) {
            (None, Some(names)) => {
                names.plan = plan;
                names.routed = routed;
            }
            (None, None) => return Err(HelperRefusal::Defect),
            (Some(applied), _) => {
                let old = before.replace(Self {
                    plan,
                    applied,
                    routed,
                });
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

    /// Applies a mode. Returns `None` if the previous one could be changed in place.
    async fn apply_mode(
        before: Option<&Self>,
        mode: DnsMode,
        device: LeaseDevice,
        servers: &[SocketAddr],
        plan: &DnsPlan,
        given: &Given,
    ) -> Result<Option<AppliedMode>, HelperRefusal> {
        let refused = |errno: Errno| kernel(Operation::RedirectDns, errno);
        let targets: Vec<Target> = servers.iter().copied().zip(plan.redirect_ports()).collect();
        match (mode, before.map(|names| (&names.applied, &names.plan))) {
            (DnsMode::Redirect, Some((AppliedMode::Redirect(redirect), _))) => {
                redirect.reload(&targets).map_err(refused)?;
                Ok(None)
            }
            (DnsMode::Redirect, None | Some((AppliedMode::Resolved(_), _))) => {
                let redirect = Redirect::load(device.slot, &targets).map_err(refused)?;
                Ok(Some(AppliedMode::Redirect(redirect)))
            }
            // To set the same again would empty resolved's cache.
            (DnsMode::Resolved, Some((AppliedMode::Resolved(_), before))) if before == plan => Ok(None),
            (DnsMode::Resolved, None | Some((AppliedMode::Redirect(_) | AppliedMode::Resolved(_), _))) => {
                let link = ResolvedLink::apply(device.index, device.addresses.resolver, plan, given).await;
                link.map(|link| Some(AppliedMode::Resolved(link)))
                    .map_err(HelperRefusal::DnsUnavailable)
            }
        }
    }

    /// Restores this state after another plan failed.
    async fn restore(&self, device: LeaseDevice, network: &Network) -> Result<(), HelperRefusal> {
        for route in &self.routed {
            network
                .add_route(device.index, route.net())
                .await
                .map_err(|_| HelperRefusal::Defect)?;
        }
        match &self.applied {
            // A redirect changes in one transaction, so a failed change left it as it was.
            AppliedMode::Redirect(_) => Ok(()),
            AppliedMode::Resolved(link) => link.restore().await.map_err(|_| HelperRefusal::Defect),
        }
    }

    /// Removes routes of name servers that the laptop reaches in a network to which it is attached by now.
    pub(crate) async fn recheck(
        &mut self,
        device: LeaseDevice,
        network: &Network,
        in_use: &InUseNow,
    ) -> Result<(), HelperRefusal> {
        let is_near = |single: &TunnelCidr| in_use.is_near(*single, device.index);
        let (near, others): (Vec<TunnelCidr>, Vec<TunnelCidr>) =
            self.routed.iter().partition(|single| is_near(single));
        unroute(network, device, &near).await?;
        self.routed = others;
        Ok(())
    }

    /// Applied DNS mode.
    pub(crate) fn mode(&self) -> DnsMode {
        match self.applied {
            AppliedMode::Redirect(_) => DnsMode::Redirect,
            AppliedMode::Resolved(_) => DnsMode::Resolved,
        }
    }

    /// Restores the laptop's own DNS. The routes end with the device.
    pub(crate) async fn end(self) {
        match self.applied {
            AppliedMode::Redirect(redirect) => drop(redirect),
            AppliedMode::Resolved(link) => link.revert().await,
        }
    }

    /// Restores the laptop's own DNS while the device stays, so routes are removed as well.
    pub(crate) async fn off(self, device: LeaseDevice, network: &Network) -> Result<(), HelperRefusal> {
        let routed = self.routed.clone();
        self.end().await;
        unroute(network, device, &routed).await
    }
}

/// Routes name servers into the device. Servers that must not be routed (link-local) are left out: they cannot be asked
/// either.
async fn route(
    network: &Network,
    device: LeaseDevice,
    servers: &[SocketAddr],
    routed: &mut Vec<TunnelCidr>,
) -> Result<(), HelperRefusal> {
    for single in servers
        .iter()
        .filter_map(|server| TunnelCidr::single(server.ip()).ok())
    {
        match network.add_route(device.index, single.net()).await {
            Ok(()) => routed.push(single),
            Err(errno) if matches!(single.net(), IpNet::V6(_)) => {
                tracing::debug!(%errno, "failed to route an IPv6 name server");
            }
            Err(errno) => return Err(kernel(Operation::AddRoute, errno)),
        }
    }
    Ok(())
}

async fn unroute(network: &Network, device: LeaseDevice, routed: &[TunnelCidr]) -> Result<(), HelperRefusal> {
    for route in routed {
        let removed = network.remove_route(device.index, route.net()).await;
        removed.map_err(|errno| kernel(Operation::RemoveRoute, errno))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_cannot_have_a_search_domain_of_the_laptop() {
        let searching = |search: &str| Laptop {
            conf: parse(
                &format!("nameserver 192.0.2.53\nsearch {search}\n"),
                &Given::default(),
            ),
            uplinks: parse("", &Given::default()),
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

    #[test]
    fn what_leases_gave_to_resolved_is_not_the_laptops() {
        let given = Given::default();
        let search = ["shop.svc.k8s.example", "k8s.example"];
        let zones = slipway_helper_api::Zones {
            cluster: Some("k8s.example".parse().expect("domain")),
            search: search.map(|suffix| suffix.parse().expect("suffix")).to_vec(),
            ..slipway_helper_api::Zones::default()
        };
        let ports = [5353.try_into().expect("port"); 3];
        let plan = DnsPlan::new(zones, ports, DnsModeChoice::Auto).expect("plan");
        let text = "nameserver 198.18.0.2\nnameserver 192.0.2.53\nsearch corp.internal shop.svc.k8s.example k8s.example\n";
        let link = given.add([198, 18, 0, 2].into(), &plan);
        let laptop = |given: &Given| Laptop {
            conf: parse(text, given),
            uplinks: parse(text, given),
            nss_resolve: false,
        };
        let own = laptop(&given);
        assert_eq!(
            own.uplinks.addresses(),
            ["192.0.2.53".parse::<IpAddr>().expect("address")]
        );
        assert_eq!(own.conf.search, ["corp.internal"]);
        assert_eq!(
            own.check(plan.zones().cluster.as_ref()),
            Ok(()),
            "its own domains refuse no cluster"
        );
        drop(link);
        assert_eq!(laptop(&given).conf.search.len(), 3, "the lease has ended");
    }
}
