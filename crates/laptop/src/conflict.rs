//! Conflicts: networks that the laptop itself uses and a route to the cluster would take.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::route::{KnownRoute, Maker};
use crate::union::Union;

/// Network or address that the laptop uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InUse {
    /// The network or address.
    pub net: IpNet,
    /// Its device, for people; empty if none is known.
    pub device: String,
    /// Its use.
    pub holder: Holder,
}

/// Use of a network by the laptop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// Gateway of a route.
    Gateway,
    /// Network to which the laptop is attached: a LAN, a bridge of containers.
    Attached,
    /// Network of a session on this laptop.
    Session,
    /// Network that is routed elsewhere.
    Routed,
    /// Name server in use.
    NameServer,
}

/// Returns the networks that the laptop would lose if `net` were routed to a cluster.
///
/// `own_index` is the interface index of the device for the route, 0 if it does not exist yet. `is_learned` is set for
/// an address of a DNS answer that is neither declared by the cluster nor named by the user. `union` has all networks
/// that the device has or is to have.
///
/// `net` conflicts if it contains a gateway or a name server in use, or if it overlaps a network to which the laptop is
/// attached or which another session has. It also conflicts if it overlaps a network that is routed elsewhere and that is
/// completely in `union`, so that the parts of a network conflict as the whole does. A wider route elsewhere, such as a
/// company VPN's 10.0.0.0/8, is no conflict for a declared or named part of it, because the kernel prefers the narrower
/// route. A learned address is left to the VPN.
#[must_use]
pub fn conflicts(
    net: IpNet,
    is_learned: bool,
    union: &Union,
    routes: &[KnownRoute],
    name_servers: &[IpAddr],
    own_index: u32,
) -> Vec<InUse> {
    let others = routes
        .iter()
        .filter(|route| own_index == 0 || route.index != own_index);
    let mut found = Vec::new();
    for route in others {
        found.extend(with_route(net, union, route));
        if is_learned && is_in_vpn(net, route) {
            found.push(in_use(route, route.net, Holder::Routed));
        }
    }
    let servers = name_servers.iter().filter(|server| net.contains(*server));
    found.extend(servers.map(|server| InUse {
        net: (*server).into(),
        device: String::new(),
        holder: Holder::NameServer,
    }));
    found.dedup();
    found
}

fn in_use(route: &KnownRoute, net: IpNet, holder: Holder) -> InUse {
    InUse {
        net,
        device: route.device.clone(),
        holder,
    }
}

fn with_route(net: IpNet, union: &Union, route: &KnownRoute) -> Vec<InUse> {
    let overlaps = || net.contains(&route.net) || route.net.contains(&net);
    let gateways = route.gateways.iter().filter(|gateway| net.contains(*gateway));
    let mut found: Vec<InUse> = gateways
        .map(|gateway| in_use(route, (*gateway).into(), Holder::Gateway))
        .collect();
    if route.net.prefix_len() == 0 {
        return found;
    }
    let holder = match route.maker {
        Maker::Kernel if overlaps() => Some(Holder::Attached),
        Maker::Helper if overlaps() => Some(Holder::Session),
        Maker::Other if net.contains(&route.net) => Some(Holder::Routed),
        Maker::Other if overlaps() && union.contains(route.net) => Some(Holder::Routed),
        Maker::Kernel | Maker::Helper | Maker::Other => None,
    };
    found.extend(holder.map(|holder| in_use(route, route.net, holder)));
    found
}

/// Returns whether an address lies in a private network that is routed elsewhere. Default routes and their halves do
/// not count.
fn is_in_vpn(net: IpNet, route: &KnownRoute) -> bool {
    route.maker == Maker::Other && is_private(route.net) && route.net != net && route.net.contains(&net)
}

/// Returns whether a network is for private use (RFC 1918, RFC 6598, RFC 2544, RFC 4193).
#[must_use]
pub fn is_private(net: IpNet) -> bool {
    const fn v4(a: u8, b: u8, prefix: u8) -> IpNet {
        IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, 0, 0), prefix))
    }
    const UNIQUE_LOCAL: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7);
    const PRIVATE: [IpNet; 6] = [
        v4(10, 0, 8),
        v4(172, 16, 12),
        v4(192, 168, 16),
        v4(100, 64, 10),
        v4(198, 18, 15),
        IpNet::V6(UNIQUE_LOCAL),
    ];
    PRIVATE.iter().any(|private| private.contains(&net))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const LAN: u32 = 2;
    const VPN: u32 = 3;
    const FIRST_SESSION: u32 = 4;

    fn laptop() -> Vec<KnownRoute> {
        let route = |net: &str, gateway: &str, index, device: &str, maker| KnownRoute {
            net: net.parse().unwrap(),
            gateways: gateway.parse().into_iter().collect(),
            index,
            device: device.to_owned(),
            maker,
            table: crate::rule::MAIN_TABLE,
        };
        vec![
            route("0.0.0.0/0", "192.168.1.1", LAN, "wlan0", Maker::Other),
            route("192.168.1.0/24", "", LAN, "wlan0", Maker::Kernel),
            route("10.0.0.0/8", "", VPN, "wg0", Maker::Other),
            route("172.30.0.0/24", "", VPN, "wg0", Maker::Other),
            route("10.96.0.0/16", "", FIRST_SESSION, "slipway0", Maker::Helper),
        ]
    }

    fn found(range: &str, is_learned: bool, own_index: u32) -> Vec<(String, Holder)> {
        let servers = ["10.0.0.53".parse().unwrap()];
        let range = range.parse().unwrap();
        let union = Union::from_iter([range]);
        conflicts(range, is_learned, &union, &laptop(), &servers, own_index)
            .into_iter()
            .map(|in_use| (in_use.net.to_string(), in_use.holder))
            .collect()
    }

    /// What ranges of one lease conflict with, without repetitions.
    fn of_all(ranges: &[IpNet], is_learned: bool, servers: &[IpAddr]) -> BTreeSet<(IpNet, String)> {
        let union = Union::from_iter(ranges.iter().copied());
        let of = |range: &IpNet| conflicts(*range, is_learned, &union, &laptop(), servers, 0);
        let found = ranges.iter().flat_map(of);
        found.map(|one| (one.net, format!("{:?}", one.holder))).collect()
    }

    fn declared(range: &str) -> Vec<(String, Holder)> {
        found(range, false, 0)
    }

    fn one(net: &str, holder: Holder) -> Vec<(String, Holder)> {
        vec![(net.to_owned(), holder)]
    }

    #[test]
    fn the_lan_and_its_gateway_are_kept() {
        let both = [
            one("192.168.1.1/32", Holder::Gateway),
            one("192.168.1.0/24", Holder::Attached),
        ]
        .concat();
        assert_eq!(declared("192.168.0.0/16"), both);
        assert_eq!(declared("192.168.1.0/24"), both);
        let lan = one("192.168.1.0/24", Holder::Attached);
        assert_eq!(
            declared("192.168.1.128/25"),
            lan,
            "a part of the LAN conflicts as well"
        );
        assert_eq!(declared("192.168.1.77/32"), lan);
        assert_eq!(declared("192.168.2.0/24"), []);
    }

    #[test]
    fn a_part_of_a_wider_vpn_may_be_the_clusters() {
        assert_eq!(declared("10.112.0.0/12"), []);
        let vpn = one("172.30.0.0/24", Holder::Routed);
        assert_eq!(declared("172.16.0.0/12"), vpn);
        assert_eq!(declared("172.30.0.0/24"), vpn);
    }

    #[test]
    fn the_halves_of_a_vpn_conflict_as_the_whole() {
        let halves = ["10.0.0.0/9", "10.128.0.0/9"].map(|half| half.parse().unwrap());
        let whole = ["10.0.0.0/8".parse().unwrap()];
        let conflict = ("10.0.0.0/8".parse().unwrap(), "Routed".to_owned());
        assert!(of_all(&halves, false, &[]).contains(&conflict));
        assert_eq!(of_all(&halves, false, &[]), of_all(&whole, false, &[]));
        let beside = ["10.0.0.0/9", "10.128.0.0/10"].map(|part| part.parse().unwrap());
        assert!(!of_all(&beside, false, &[]).contains(&conflict));
        let union = Union::from_iter(halves);
        for half in halves {
            let found = conflicts(half, false, &union, &laptop(), &[], FIRST_SESSION);
            assert_eq!(found.len(), 1, "each half has the conflict: {found:?}");
        }
        let other = "172.20.0.0/16".parse().unwrap();
        assert_eq!(
            conflicts(other, false, &union, &laptop(), &[], FIRST_SESSION),
            [],
            "a network beside it has not"
        );
    }

    proptest! {
        #[test]
        fn splitting_a_range_does_not_change_the_verdict(
            part in 0u32..3,
            bits: u32,
            prefix in 7u8..=31,
            is_learned: bool,
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 1..6),
        ) {
            // Addresses in or around the networks of the laptop.
            let start = [0x0a00_0000, 0xac10_0000, 0xc0a8_0000][part as usize] | (bits & 0x000f_ffff);
            let whole = Ipv4Net::new(Ipv4Addr::from_bits(start), prefix).unwrap().trunc();
            let mut parts = vec![IpNet::from(whole)];
            for cut in cuts {
                let one = parts.swap_remove(cut.index(parts.len()));
                match one.subnets(one.prefix_len() + 1) {
                    Ok(halves) => parts.extend(halves),
                    Err(_) => parts.push(one),
                }
            }
            let servers = ["10.0.0.53".parse().unwrap(), "192.168.1.1".parse().unwrap()];
            prop_assert_eq!(
                of_all(&parts, is_learned, &servers),
                of_all(&[whole.into()], is_learned, &servers)
            );
        }
    }

    #[test]
    fn an_address_of_a_vpn_is_not_learned() {
        assert_eq!(
            found("10.20.30.40/32", true, 0),
            one("10.0.0.0/8", Holder::Routed)
        );
        assert_eq!(declared("10.20.30.40/32"), []);
        assert_eq!(
            found("172.20.1.5/32", true, 0),
            [],
            "the default route is no VPN's"
        );
    }

    #[test]
    fn another_sessions_networks_and_name_servers_are_kept() {
        let session = one("10.96.0.0/16", Holder::Session);
        assert_eq!(declared("10.96.0.10/32"), session);
        assert_eq!(declared("10.96.0.0/12"), session);
        assert_eq!(
            found("10.96.0.0/16", false, FIRST_SESSION),
            [],
            "a session's own routes are no conflict"
        );
        assert_eq!(declared("10.0.0.0/16"), one("10.0.0.53/32", Holder::NameServer));
    }
}
