//! Which networks would take from the laptop what it uses now. Pure: it works on what [`crate::network`] read.

use std::net::IpAddr;

use ipnet::IpNet;
use slipway_helper_api::{Conflict, ConflictWith, Refusal, Route, RouteOrigin, TunnelCidr, is_private};

use crate::network::{KnownRoute, Origin};

/// Checks networks that are to be routed into the device `index` (0 for one that does not exist yet).
///
/// A network conflicts when it contains a gateway or a name server in use, when it shares an address with a network that
/// the laptop is attached to or that another session has, or when a network that is routed elsewhere lies in it. A wider
/// route elsewhere, such as a company VPN's 10.0.0.0/8, is no conflict where the cluster declares a part of it or the user
/// names one. An address that was only learned from an answer is left to the VPN.
pub(crate) fn check(
    routes: impl Iterator<Item = Route>,
    known: &[KnownRoute],
    name_servers: &[IpAddr],
    index: u32,
) -> Result<(), Refusal> {
    let others: Vec<&KnownRoute> = known
        .iter()
        .filter(|route| index == 0 || route.index != index)
        .collect();
    let mut conflicts = Vec::new();
    for Route { net, origin } in routes {
        let range = &net;
        for route in &others {
            conflicts.extend(with_route(range, route));
            if origin == RouteOrigin::Learned && is_vpn_around(range, route) {
                conflicts.push(Conflict {
                    range: *range,
                    route: route.net,
                    device: route.device.clone(),
                    with: ConflictWith::Routed,
                });
            }
        }
        for server in name_servers.iter().filter(|server| range.contains(**server)) {
            conflicts.push(Conflict {
                range: *range,
                route: IpNet::from(*server),
                device: String::new(),
                with: ConflictWith::NameServer,
            });
        }
        if conflicts.len() >= Refusal::MAX_CONFLICTS {
            break;
        }
    }
    conflicts.dedup();
    conflicts.truncate(Refusal::MAX_CONFLICTS);
    if conflicts.is_empty() {
        Ok(())
    } else {
        Err(Refusal::Conflicts(conflicts))
    }
}

fn with_route(range: &TunnelCidr, route: &KnownRoute) -> Vec<Conflict> {
    let conflict = |net: IpNet, with| Conflict {
        range: *range,
        route: net,
        device: route.device.clone(),
        with,
    };
    let mut found: Vec<Conflict> = route
        .gateways
        .iter()
        .filter(|gateway| range.contains(**gateway))
        .map(|gateway| conflict(IpNet::from(*gateway), ConflictWith::Gateway))
        .collect();
    if route.net.prefix_len() == 0 {
        return found;
    }
    match route.origin {
        Origin::Attached if range.overlaps(route.net) => {
            found.push(conflict(route.net, ConflictWith::Attached))
        }
        Origin::Ours if range.overlaps(route.net) => found.push(conflict(route.net, ConflictWith::Session)),
        Origin::Other if range.net().contains(&route.net) => {
            found.push(conflict(route.net, ConflictWith::Routed))
        }
        Origin::Attached | Origin::Ours | Origin::Other => {}
    }
    found
}

/// Whether an address lies in a private network that another device has. Routes of all the Internet, or of halves of it,
/// claim no private network in particular.
fn is_vpn_around(range: &TunnelCidr, route: &KnownRoute) -> bool {
    route.origin == Origin::Other
        && is_private(route.net)
        && route.net != range.net()
        && route.net.contains(&range.net())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAN: u32 = 2;
    const VPN: u32 = 3;
    const FIRST_SESSION: u32 = 4;

    fn laptop() -> Vec<KnownRoute> {
        let route = |net: &str, gateway: &str, index, device: &str, origin| KnownRoute {
            net: net.parse().expect("net"),
            gateways: gateway.parse().into_iter().collect(),
            index,
            device: device.to_owned(),
            origin,
        };
        vec![
            route("0.0.0.0/0", "192.168.1.1", LAN, "wlan0", Origin::Other),
            route("192.168.1.0/24", "", LAN, "wlan0", Origin::Attached),
            route("10.0.0.0/8", "", VPN, "wg0", Origin::Other),
            route("172.30.0.0/24", "", VPN, "wg0", Origin::Other),
            route("10.96.0.0/16", "", FIRST_SESSION, "slipway0", Origin::Ours),
        ]
    }

    fn conflicts(range: &str, index: u32) -> Vec<(String, ConflictWith)> {
        conflicts_by(RouteOrigin::Declared, range, index)
    }

    fn conflicts_by(origin: RouteOrigin, range: &str, index: u32) -> Vec<(String, ConflictWith)> {
        let routes = [Route::new(range.parse().expect("range"), origin)];
        let servers = ["10.0.0.53".parse().expect("address")];
        match check(routes.into_iter(), &laptop(), &servers, index) {
            Ok(()) => Vec::new(),
            Err(Refusal::Conflicts(found)) => found
                .into_iter()
                .map(|conflict| (conflict.route.to_string(), conflict.with))
                .collect(),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn the_lan_and_its_gateway_are_kept() {
        let gateway = ("192.168.1.1/32".to_owned(), ConflictWith::Gateway);
        let lan = ("192.168.1.0/24".to_owned(), ConflictWith::Attached);
        assert_eq!(conflicts("192.168.0.0/16", 0), [gateway.clone(), lan.clone()]);
        assert_eq!(conflicts("192.168.1.0/24", 0), [gateway, lan]);
        let lan = [("192.168.1.0/24".to_owned(), ConflictWith::Attached)];
        assert_eq!(
            conflicts("192.168.1.128/25", 0),
            lan,
            "a part of the LAN is the LAN's"
        );
        assert_eq!(conflicts("192.168.1.77/32", 0), lan);
        assert_eq!(conflicts("192.168.2.0/24", 0), []);
    }

    #[test]
    fn a_part_of_a_wider_vpn_may_be_the_clusters() {
        assert_eq!(conflicts("10.112.0.0/12", 0), []);
        assert_eq!(
            conflicts("172.16.0.0/12", 0),
            [("172.30.0.0/24".to_owned(), ConflictWith::Routed)]
        );
        assert_eq!(
            conflicts("172.30.0.0/24", 0),
            [("172.30.0.0/24".to_owned(), ConflictWith::Routed)]
        );
    }

    #[test]
    fn an_address_of_a_vpn_is_not_learned() {
        let vpn = [("10.0.0.0/8".to_owned(), ConflictWith::Routed)];
        assert_eq!(conflicts_by(RouteOrigin::Learned, "10.20.30.40/32", 0), vpn);
        assert_eq!(conflicts_by(RouteOrigin::User, "10.20.30.40/32", 0), []);
        assert_eq!(
            conflicts_by(RouteOrigin::Learned, "172.20.1.5/32", 0),
            [],
            "the default route is no VPN's"
        );
    }

    #[test]
    fn another_sessions_networks_and_name_servers_are_kept() {
        let session = [("10.96.0.0/16".to_owned(), ConflictWith::Session)];
        assert_eq!(conflicts("10.96.0.10/32", 0), session);
        assert_eq!(conflicts("10.96.0.0/12", 0), session);
        assert_eq!(
            conflicts("10.96.0.0/16", FIRST_SESSION),
            [],
            "its own are not in its way"
        );
        assert_eq!(
            conflicts("10.0.0.0/16", 0),
            [("10.0.0.53/32".to_owned(), ConflictWith::NameServer)]
        );
    }

    #[test]
    fn what_is_left_after_the_conflicts_has_none() {
        let mut parts: Vec<TunnelCidr> = vec!["192.168.0.0/16".parse().expect("range")];
        let declared = |parts: &[TunnelCidr]| {
            let routes = parts.iter().map(|part| Route::new(*part, RouteOrigin::Declared));
            routes.collect::<Vec<_>>()
        };
        while let Err(Refusal::Conflicts(found)) = check(declared(&parts).into_iter(), &laptop(), &[], 0) {
            for conflict in found {
                parts = parts
                    .iter()
                    .flat_map(|part| part.without(conflict.route))
                    .collect();
            }
        }
        assert!(
            parts
                .iter()
                .any(|part| part.contains("192.168.200.1".parse().expect("address")))
        );
        assert!(
            !parts
                .iter()
                .any(|part| part.contains("192.168.1.9".parse().expect("address")))
        );
    }
}
