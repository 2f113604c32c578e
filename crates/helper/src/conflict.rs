//! Conflicts of a lease's networks with networks of the laptop: those that a request would cause, as a refusal, and those
//! that a change of the laptop's network has caused. [`slipway_laptop::conflicts`] has the rules.

use std::net::IpAddr;

use slipway_helper_api::{Conflict, ConflictWith, HelperRefusal, Route, RouteOrigin, Routes, TunnelCidr};
use slipway_laptop::{Holder, InUse, KnownRoute, Maker, Union, conflicts};

/// Networks that the laptop uses.
#[derive(Debug)]
pub(crate) struct InUseNow {
    /// Every route of the laptop.
    pub(crate) routes: Vec<KnownRoute>,
    /// The laptop's own name servers.
    pub(crate) name_servers: Vec<IpAddr>,
}

impl InUseNow {
    /// Checks networks `added` to those of a lease, which then has the networks `all`. `index` is the lease's device, 0 if
    /// it does not exist yet.
    pub(crate) fn check(&self, added: &Routes, all: &Routes, index: u32) -> Result<(), HelperRefusal> {
        if added.is_empty() {
            return Ok(());
        }
        let union = union(all);
        let mut found = Vec::new();
        for route in added.iter() {
            found.extend(self.of(route, &union, index));
            if found.len() >= HelperRefusal::MAX_CONFLICTS {
                break;
            }
        }
        found.truncate(HelperRefusal::MAX_CONFLICTS);
        if found.is_empty() {
            Ok(())
        } else {
            Err(HelperRefusal::Conflicts(found))
        }
    }

    /// Takes the networks that the laptop uses by now out of a lease's routes, and returns the conflicts that changed
    /// these.
    ///
    /// A declared or named network does not give way to a route that another program has added since: if that is narrower,
    /// the kernel prefers it, and if it is wider, the network is a part of it. Nor does it give way to another session,
    /// which came later.
    pub(crate) fn take_from(&self, routes: &mut Routes, index: u32) -> Vec<Conflict> {
        // A lease has thousands of addresses, and most routes have nothing to do with it.
        let of_lease = union(routes);
        let concerns = |route: &KnownRoute| {
            let overlaps = || route.net.prefix_len() > 0 && of_lease.overlaps(route.net);
            let mut gateways = route.gateways.iter();
            overlaps() || gateways.any(|gateway| of_lease.contains((*gateway).into()))
        };
        let others = self.routes.iter().filter(|route| route.maker != Maker::Helper);
        let near = Self {
            routes: others.filter(|route| concerns(route)).cloned().collect(),
            name_servers: self.name_servers.clone(),
        };
        let mut found: Vec<Conflict> = routes
            .iter()
            .flat_map(|route| {
                let conflicts = near.of(route, &Union::default(), index).into_iter();
                conflicts.filter(move |conflict| must_leave(conflict.with, route.origin))
            })
            .collect();
        // The widest first, because they make narrower ones superfluous.
        found.sort_by_key(|conflict| conflict.route.prefix_len());
        found.retain(|conflict| routes.give_way(conflict));
        found
    }

    /// Returns whether the laptop reaches an address in a network to which it is attached.
    pub(crate) fn is_near(&self, single: TunnelCidr, index: u32) -> bool {
        let route = Route::new(single, RouteOrigin::User);
        let found = self.of(route, &Union::default(), index);
        found
            .iter()
            .any(|conflict| matches!(conflict.with, ConflictWith::Gateway | ConflictWith::Attached))
    }

    fn of(&self, Route { net, origin }: Route, union: &Union, index: u32) -> Vec<Conflict> {
        let is_learned = origin == RouteOrigin::Learned;
        let found = conflicts(
            net.net(),
            is_learned,
            union,
            &self.routes,
            &self.name_servers,
            index,
        );
        let conflict = |in_use: InUse| Conflict {
            range: net,
            route: in_use.net,
            device: in_use.device,
            with: match in_use.holder {
                Holder::Gateway => ConflictWith::Gateway,
                Holder::Attached => ConflictWith::Attached,
                Holder::Session => ConflictWith::Session,
                Holder::Routed => ConflictWith::Routed,
                Holder::NameServer => ConflictWith::NameServer,
            },
        };
        found.into_iter().map(conflict).collect()
    }
}

/// Returns whether a route that a lease already has leaves it because of a conflict.
fn must_leave(with: ConflictWith, origin: RouteOrigin) -> bool {
    match with {
        ConflictWith::Gateway | ConflictWith::NameServer | ConflictWith::Attached => true,
        // A learned address would be narrower than the network of a VPN, to which it belongs.
        ConflictWith::Routed => origin == RouteOrigin::Learned,
        ConflictWith::Session => false,
    }
}

fn union(routes: &Routes) -> Union {
    routes.nets().map(|net| net.net()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: u32 = 9;

    fn route(net: &str, gateway: &str, device: &str, maker: Maker) -> KnownRoute {
        KnownRoute {
            net: net.parse().unwrap(),
            gateways: gateway.parse().into_iter().collect(),
            index: 2,
            device: device.to_owned(),
            maker,
            table: slipway_laptop::MAIN_TABLE,
        }
    }

    fn laptop(routes: &[KnownRoute], name_servers: &[&str]) -> InUseNow {
        let name_servers = name_servers.iter().map(|server| server.parse().unwrap());
        InUseNow {
            routes: routes.to_vec(),
            name_servers: name_servers.collect(),
        }
    }

    fn home() -> InUseNow {
        let routes = [
            route("0.0.0.0/0", "192.168.1.1", "wlan0", Maker::Other),
            route("192.168.1.0/24", "", "wlan0", Maker::Kernel),
        ];
        laptop(&routes, &["192.168.1.1", "1.1.1.1"])
    }

    fn routes(origin: RouteOrigin, nets: &[&str]) -> Routes {
        let nets = nets.iter().map(|net| net.parse().expect("network"));
        nets.map(|net| Route::new(net, origin)).collect()
    }

    #[test]
    fn a_range_without_its_conflicts_is_accepted() {
        let mut ranges = routes(RouteOrigin::Declared, &["192.168.0.0/16"]);
        while let Err(HelperRefusal::Conflicts(found)) = home().check(&ranges, &ranges, 0) {
            for conflict in found {
                ranges.give_way(&conflict);
            }
        }
        let has = |address: &str| {
            let address = address.parse().expect("address");
            ranges.nets().any(|part| part.contains(address))
        };
        assert!(has("192.168.200.1") && !has("192.168.1.9"));
    }

    #[test]
    fn halves_of_a_vpn_are_refused_in_one_request_and_in_two() {
        let vpn = laptop(&[route("10.0.0.0/8", "", "wg0", Maker::Other)], &[]);
        let halves = ["10.0.0.0/9", "10.128.0.0/9"];
        let both = routes(RouteOrigin::Declared, &halves);
        let Err(HelperRefusal::Conflicts(found)) = vpn.check(&both, &both, 0) else {
            panic!("both are granted")
        };
        assert_eq!(found.len(), 2, "{found:?}");
        let [first, second] = halves.map(|half| routes(RouteOrigin::Declared, &[half]));
        assert_eq!(vpn.check(&first, &first, LEASE), Ok(()), "a part of a VPN");
        assert!(vpn.check(&second, &both, LEASE).is_err());
    }

    #[test]
    fn what_the_laptop_uses_by_now_leaves_the_lease() {
        let mut lease = routes(RouteOrigin::Declared, &["10.96.0.0/16", "192.168.0.0/23"]);
        lease.extend(routes(RouteOrigin::Learned, &["172.20.1.5"]).iter());
        lease.extend(routes(RouteOrigin::User, &["1.1.1.1"]).iter());
        let revoked = home().take_from(&mut lease, LEASE);
        let revoked: Vec<String> = revoked.iter().map(ToString::to_string).collect();
        assert_eq!(
            revoked,
            [
                "192.168.0.0/23 overlaps the attached network 192.168.1.0/24 on wlan0",
                "1.1.1.1/32 overlaps the name server 1.1.1.1/32",
            ],
            "the gateway is in the attached network"
        );
        let mut left = routes(RouteOrigin::Declared, &["10.96.0.0/16", "192.168.0.0/24"]);
        left.extend(routes(RouteOrigin::Learned, &["172.20.1.5"]).iter());
        assert_eq!(lease, left);
        assert_eq!(home().take_from(&mut lease, LEASE), [], "nothing else");
    }

    #[test]
    fn a_vpn_that_came_later_takes_only_learned_addresses() {
        let vpn = [
            route("10.0.0.0/8", "", "wg0", Maker::Other),
            route("10.96.7.0/24", "", "wg0", Maker::Other),
            route("172.20.0.0/16", "", "slipway1", Maker::Helper),
        ];
        let kept = routes(RouteOrigin::Declared, &["10.96.0.0/16", "172.20.0.0/16"]);
        let mut lease = kept.clone();
        lease.extend(routes(RouteOrigin::Learned, &["10.20.30.40"]).iter());
        let revoked = laptop(&vpn, &[]).take_from(&mut lease, LEASE);
        assert_eq!(revoked.len(), 1, "{revoked:?}");
        assert_eq!(lease, kept);
    }

    #[test]
    fn thousands_of_addresses_in_a_lan_are_one_conflict() {
        let learned = |n: u32| std::net::Ipv4Addr::from_bits(0x0a60_0000 + 2 * n).to_string();
        let learned: Vec<String> = (0..4096).map(learned).collect();
        let learned: Vec<&str> = learned.iter().map(String::as_str).collect();
        let mut lease = routes(RouteOrigin::Learned, &learned);
        let lan = laptop(&[route("10.0.0.0/8", "", "wlan0", Maker::Kernel)], &[]);
        assert_eq!(lan.take_from(&mut lease, LEASE).len(), 1);
        assert!(lease.is_empty());
    }

    #[test]
    fn only_the_laptops_own_links_are_near() {
        let home = home();
        let is_near = |address: &str| home.is_near(address.parse().unwrap(), LEASE);
        assert!(is_near("192.168.1.1") && is_near("192.168.1.7"));
        assert!(!is_near("1.1.1.1"), "a name server that is reached by no link");
    }
}
