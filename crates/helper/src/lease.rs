//! Leases: each is a device with its routes and DNS. A request is applied completely or not at all, and a lease ends
//! with its connection.

use std::os::fd::OwnedFd;

use slipway_helper_api::{
    Change, Conflict, DnsChange, DnsGranted, Granted, HelperRefusal, LeaseAccess, Leased, MAX_CHANGE,
    MAX_ROUTES, Operation, RangeTrouble, Routes, Slot, Status, Tally, Up, Updated,
};
use tokio::sync::Mutex;

use crate::conflict::InUseNow;
use crate::given::Given;
use crate::names::{self, LeaseDevice, Names};
use crate::network::Network;
use crate::policy::Policy;
use crate::refuse::kernel;
use crate::slots::{Addresses, SlotGuard, Slots};
use crate::tun::Tun;

/// State that all leases share.
#[derive(Debug)]
pub(crate) struct Leases {
    network: Network,
    policy: Policy,
    slots: Slots,
    given: Given,
    /// Allows one change at a time: the kernel's state must not change between a check and the change.
    changing: Mutex<()>,
}

impl Leases {
    pub(crate) fn new(network: Network, policy: Policy) -> Self {
        Self {
            network,
            policy,
            slots: Slots::default(),
            given: Given::default(),
            changing: Mutex::new(()),
        }
    }

    /// Makes a lease. The device's only descriptor is among those returned, so dropping them ends the device.
    pub(crate) async fn up(&self, uid: u32, up: Up) -> Result<(Lease, Granted, Vec<OwnedFd>), HelperRefusal> {
        limit(up.routes.len())?;
        let routes = Routes::from_iter(up.routes);
        self.policy.check(routes.iter())?;
        let slot = self.slots.take(uid, up.prefer)?;
        let _lock = self.changing.lock().await;
        let in_use = self.in_use().await?;
        in_use.check(&routes, &routes, 0)?;
        let addresses = Addresses::choose(slot.slot(), &in_use.routes)?;

        let tun = Tun::open()?;
        let configured = self
            .network
            .configure(tun.index, addresses.v4, addresses.v6)
            .await;
        let has_v6 = configured.map_err(|errno| kernel(Operation::ConfigureTun, errno))?;
        let mut lease = Lease {
            slot,
            tun_name: tun.name,
            index: tun.index,
            addresses,
            has_v6,
            routes: Routes::default(),
            revoked: Vec::new(),
            names: None,
        };
        let configured = async {
            lease
                .swap_routes(&self.network, &Routes::default(), &routes)
                .await?;
            let Some(plan) = up.dns else {
                return Ok((None, Vec::new()));
            };
            let device = lease.device();
            let (dns, sockets) =
                Names::set(&mut lease.names, device, plan, &self.network, &self.given).await?;
            Ok((Some(dns), sockets))
        };
        let (dns, sockets) = match configured.await {
            Ok(done) => done,
            Err(refusal) => {
                lease.end(&self.network).await;
                return Err(refusal);
            }
        };
        let granted = Granted {
            slot: lease.slot.slot(),
            tun_name: lease.tun_name.clone(),
            address: addresses.v4.addr(),
            resolver: addresses.resolver,
            address6: has_v6.then(|| addresses.v6.addr()),
            dns,
        };
        let mut fds = vec![tun.fd];
        fds.extend(sockets);
        Ok((lease, granted, fds))
    }

    /// Revokes networks of a lease that the laptop itself uses by now. The lease must end if this fails.
    pub(crate) async fn recheck(&self, lease: &mut Lease) -> Result<(), HelperRefusal> {
        let _lock = self.changing.lock().await;
        let in_use = self.in_use().await?;
        lease.recheck(&self.network, &in_use).await?;
        if lease.revoked.len() > MAX_ROUTES {
            tracing::warn!(
                device = lease.tun_name,
                "the client does not ask what was revoked"
            );
            return Err(HelperRefusal::Defect);
        }
        Ok(())
    }

    /// Checks a lease again, then changes its routes and DNS. On failure these are restored.
    pub(crate) async fn update(
        &self,
        lease: &mut Lease,
        change: Change,
    ) -> Result<(Updated, Vec<OwnedFd>), HelperRefusal> {
        limit(change.add.len().max(change.remove.len()))?;
        let _lock = self.changing.lock().await;
        let in_use = self.in_use().await?;
        // After a defect the lease ends, and with it the routes that were to be revoked.
        let rechecked = lease.recheck(&self.network, &in_use).await;
        rechecked.map_err(|_| HelperRefusal::Defect)?;
        let (dns, fds) = self.change(lease, change, &in_use).await?;
        let reported = lease.revoked.len().min(HelperRefusal::MAX_CONFLICTS);
        let revoked = lease.revoked.drain(..reported).collect();
        let more = lease.revoked.len();
        Ok((Updated { dns, revoked, more }, fds))
    }

    async fn change(
        &self,
        lease: &mut Lease,
        change: Change,
        in_use: &InUseNow,
    ) -> Result<(Option<DnsGranted>, Vec<OwnedFd>), HelperRefusal> {
        let mut next = lease.routes.clone();
        let mut removed = Routes::default();
        for net in change.remove {
            removed.extend(next.take(&net));
        }
        let mut added = Routes::default();
        for route in change.add {
            let before = next.get(&route.net);
            if !next.insert(route) {
                continue;
            }
            // The same network with another origin is checked again.
            removed.extend(before);
            added.insert(route);
        }
        self.policy.check(next.iter())?;
        in_use.check(&added, &next, lease.index)?;
        lease.swap_routes(&self.network, &removed, &added).await?;
        let dns = match change.dns {
            DnsChange::Keep => Ok((None, Vec::new())),
            DnsChange::Off => match lease.names.take() {
                Some(names) => names
                    .off(lease.device(), &self.network)
                    .await
                    .map(|()| (None, Vec::new())),
                None => Ok((None, Vec::new())),
            },
            DnsChange::Set(plan) => {
                let device = lease.device();
                let set = Names::set(&mut lease.names, device, plan, &self.network, &self.given).await;
                set.map(|(granted, sockets)| (Some(granted), sockets))
            }
        };
        if dns.is_err() {
            lease
                .swap_routes(&self.network, &added, &removed)
                .await
                .map_err(|_| HelperRefusal::Defect)?;
        }
        dns
    }

    /// Ends a lease and removes its device.
    pub(crate) async fn end(&self, lease: Lease) -> Tally {
        let _lock = self.changing.lock().await;
        lease.end(&self.network).await
    }

    /// Returns what the laptop uses: with no name servers if its files cannot be read, for which a DNS plan is refused
    /// later.
    async fn in_use(&self) -> Result<InUseNow, HelperRefusal> {
        let routes = self.network.routes().await;
        Ok(InUseNow {
            routes: routes.map_err(|errno| kernel(Operation::ReadRoutes, errno))?,
            name_servers: names::Laptop::read(&self.given)
                .map(|laptop| laptop.name_servers())
                .unwrap_or_default(),
        })
    }

    /// Status for a user and the lease of its connection.
    pub(crate) async fn status(&self, uid: u32, lease: Option<&Lease>, access: LeaseAccess) -> Status {
        let (yours, all) = self.slots.count(uid);
        let laptop = names::Laptop::read(&self.given);
        let (names, name_servers) = match laptop {
            Ok(laptop) => (
                laptop.choose(slipway_helper_api::DnsModeChoice::Auto).await,
                laptop.name_servers(),
            ),
            Err(trouble) => (Err(trouble), Vec::new()),
        };
        Status {
            lease: lease.map(Lease::summary),
            yours,
            all,
            names,
            name_servers,
            access,
        }
    }
}

/// A TUN device with its routes and DNS. It ends only through [`Leases::end`].
#[derive(Debug)]
pub(crate) struct Lease {
    slot: SlotGuard,
    tun_name: String,
    index: u32,
    addresses: Addresses,
    has_v6: bool,
    routes: Routes,
    /// Conflicts because of which networks were revoked, and of which the client does not know yet.
    revoked: Vec<Conflict>,
    names: Option<Names>,
}

impl Lease {
    pub(crate) fn slot(&self) -> Slot {
        self.slot.slot()
    }

    fn summary(&self) -> Leased {
        Leased {
            slot: self.slot(),
            tun_name: self.tun_name.clone(),
            routes: self.routes.len(),
            mode: self.names.as_ref().map(Names::mode),
        }
    }

    fn device(&self) -> LeaseDevice {
        LeaseDevice {
            slot: self.slot(),
            index: self.index,
            addresses: self.addresses,
        }
    }

    /// Revokes networks that the laptop uses by now.
    async fn recheck(&mut self, network: &Network, in_use: &InUseNow) -> Result<(), HelperRefusal> {
        let device = self.device();
        if let Some(names) = &mut self.names {
            names.recheck(device, network, in_use).await?;
        }
        let mut next = self.routes.clone();
        let revoked = in_use.take_from(&mut next, self.index);
        if revoked.is_empty() {
            return Ok(());
        }
        let (count, first) = (revoked.len(), revoked.first().map(ToString::to_string));
        tracing::info!(device = self.tun_name, count, first, "networks revoked");
        let beyond = |routes: &Routes, others: &Routes| -> Routes {
            let own = routes.iter().filter(|route| others.get(&route.net).is_none());
            own.collect()
        };
        let (removed, added) = (beyond(&self.routes, &next), beyond(&next, &self.routes));
        self.swap_routes(network, &removed, &added).await?;
        self.routes = next;
        self.revoked.extend(revoked);
        Ok(())
    }

    /// Adds and removes routes. A network that is replaced by its parts, or the reverse, is routed all the time. On failure
    /// the previous routes are restored.
    async fn swap_routes(
        &mut self,
        network: &Network,
        remove: &Routes,
        add: &Routes,
    ) -> Result<(), HelperRefusal> {
        if !self.has_v6
            && let Some(range) = add
                .nets()
                .find(|range| matches!(range.net(), ipnet::IpNet::V6(_)))
        {
            return Err(HelperRefusal::RangeRefused {
                range,
                why: RangeTrouble::NoIpv6,
            });
        }
        let (mut removed, mut added) = (Vec::new(), Vec::new());
        let result = async {
            // Where only the origin changes, the kernel's route stays.
            for route in add.nets().filter(|net| remove.get(net).is_none()) {
                let done = network.add_route(self.index, route.net()).await;
                done.map_err(|errno| kernel(Operation::AddRoute, errno))?;
                added.push(route);
            }
            for route in remove.nets().filter(|net| add.get(net).is_none()) {
                let done = network.remove_route(self.index, route.net()).await;
                done.map_err(|errno| kernel(Operation::RemoveRoute, errno))?;
                removed.push(route);
            }
            Ok(())
        }
        .await;
        if result.is_err() {
            for route in added {
                network
                    .remove_route(self.index, route.net())
                    .await
                    .map_err(|_| HelperRefusal::Defect)?;
            }
            for route in removed {
                network
                    .add_route(self.index, route.net())
                    .await
                    .map_err(|_| HelperRefusal::Defect)?;
            }
            return result;
        }
        for route in remove.nets() {
            self.routes.take(&route);
        }
        self.routes.extend(add.iter());
        Ok(())
    }

    /// Restores DNS and removes the device. The kernel removes what remains when the client's descriptor closes.
    async fn end(self, network: &Network) -> Tally {
        if let Some(names) = self.names {
            names.end().await;
        }
        if let Err(errno) = network.remove_link(self.index).await {
            tracing::warn!(device = self.tun_name, %errno, "failed to remove the device");
        }
        Tally {
            routes: self.routes.len(),
        }
    }
}

fn limit(given: usize) -> Result<(), HelperRefusal> {
    if given > MAX_CHANGE {
        return Err(HelperRefusal::TooManyRoutes {
            given,
            limit: MAX_CHANGE,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_with_too_many_routes_is_refused() {
        assert_eq!(limit(MAX_CHANGE), Ok(()));
        assert_eq!(
            limit(MAX_CHANGE + 1),
            Err(HelperRefusal::TooManyRoutes {
                given: MAX_CHANGE + 1,
                limit: MAX_CHANGE,
            })
        );
    }
}
