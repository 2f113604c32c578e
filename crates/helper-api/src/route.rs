//! Routes of a lease: networks, each with the source of the claim that it belongs to the cluster.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::refusal::Conflict;
use crate::{MAX_ADDRESSES, MAX_RANGES, TunnelCidr};

/// Source of the claim that a network belongs to the cluster. The helper has a rule for each, so that a cluster cannot
/// claim addresses that do not belong to it. Later variants are allowed more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RouteOrigin {
    /// An answer of the cluster's DNS named the address. It must be a single private address outside the networks of
    /// other VPNs.
    Learned,
    /// The cluster declares the network. It must be private, or allowed by the administrator.
    Declared,
    /// The user named the network or its host. It must be private, a single public address, or allowed by the
    /// administrator.
    User,
}

impl fmt::Display for RouteOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Learned => "learned",
            Self::Declared => "declared",
            Self::User => "user",
        })
    }
}

/// Network to route, and its origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The network.
    pub net: TunnelCidr,
    /// Source of the claim that the network belongs to the cluster.
    pub origin: RouteOrigin,
}

impl Route {
    /// Makes a route with this origin.
    #[must_use]
    pub const fn new(net: TunnelCidr, origin: RouteOrigin) -> Self {
        Self { net, origin }
    }
}

/// Set of routes, sorted by network. A network with several origins keeps the one that is allowed most.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Routes(BTreeMap<TunnelCidr, RouteOrigin>);

impl Routes {
    /// Adds a network. Returns false if it was already there with this origin or one that is allowed more.
    pub fn insert(&mut self, route: Route) -> bool {
        match self.0.insert(route.net, route.origin) {
            Some(before) if before >= route.origin => {
                self.0.insert(route.net, before);
                false
            }
            Some(_) | None => true,
        }
    }

    /// Removes and returns a network.
    pub fn take(&mut self, net: &TunnelCidr) -> Option<Route> {
        let (net, origin) = self.0.remove_entry(net)?;
        Some(Route { net, origin })
    }

    /// Takes the network that the laptop uses out of all networks that a conflict concerns, and returns whether there were
    /// any.
    ///
    /// Each is replaced by its parts without that network, with the same origin. Of parts for which a lease has no room
    /// ([`MAX_RANGES`], [`MAX_ADDRESSES`]) the narrowest are left out.
    pub fn give_way(&mut self, conflict: &Conflict) -> bool {
        let affected: Vec<Route> = self.iter().filter(|route| conflict.concerns(route.net)).collect();
        for route in &affected {
            self.take(&route.net);
        }
        let mut parts: Vec<Route> = affected
            .iter()
            .flat_map(|route| {
                let parts = route.net.without(conflict.route).into_iter();
                parts.map(|net| Route::new(net, route.origin))
            })
            .collect();
        parts.sort_by_key(|part| part.net.net().prefix_len());
        let addresses = self.nets().filter(TunnelCidr::is_single).count();
        let ranges = self.len() - addresses;
        let (single, wide): (Vec<Route>, Vec<Route>) = parts.iter().partition(|part| part.net.is_single());
        self.extend(wide.into_iter().take(MAX_RANGES.saturating_sub(ranges)));
        self.extend(single.into_iter().take(MAX_ADDRESSES.saturating_sub(addresses)));
        !affected.is_empty()
    }

    /// Returns a network with its origin.
    #[must_use]
    pub fn get(&self, net: &TunnelCidr) -> Option<Route> {
        let (net, origin) = self.0.get_key_value(net)?;
        Some(Route::new(*net, *origin))
    }

    /// Returns whether the network is there with this origin or one that is allowed more.
    #[must_use]
    pub fn contains(&self, route: &Route) -> bool {
        self.0
            .get(&route.net)
            .is_some_and(|origin| *origin >= route.origin)
    }

    /// Returns the networks in order.
    pub fn nets(&self) -> impl Iterator<Item = TunnelCidr> {
        self.0.keys().copied()
    }

    /// Returns networks with their origins, in order.
    pub fn iter(&self) -> impl Iterator<Item = Route> {
        self.0.iter().map(|(net, origin)| Route::new(*net, *origin))
    }

    /// Returns the number of networks.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether there are no networks.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Route> for Routes {
    fn from_iter<I: IntoIterator<Item = Route>>(routes: I) -> Self {
        let mut all = Self::default();
        all.extend(routes);
        all
    }
}

impl Extend<Route> for Routes {
    fn extend<I: IntoIterator<Item = Route>>(&mut self, routes: I) {
        for route in routes {
            self.insert(route);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ConflictWith;

    fn routes(nets: &[&str], origin: RouteOrigin) -> Routes {
        let nets = nets.iter().map(|net| net.parse().expect("network"));
        nets.map(|net| Route::new(net, origin)).collect()
    }

    fn conflict(range: &str, route: &str, with: ConflictWith) -> Conflict {
        Conflict {
            range: range.parse().expect("range"),
            route: route.parse().expect("net"),
            device: "wlan0".to_owned(),
            with,
        }
    }

    #[test]
    fn all_networks_give_way_to_an_attached_network() {
        let mut all = routes(&["10.0.0.0/14", "10.96.0.0/16"], RouteOrigin::Declared);
        all.extend(routes(&["10.1.2.3", "10.5.6.7"], RouteOrigin::Learned).iter());
        let lan = conflict("10.1.2.3", "10.1.0.0/16", ConflictWith::Attached);
        assert!(all.give_way(&lan));
        let mut left = routes(
            &["10.0.0.0/16", "10.2.0.0/15", "10.96.0.0/16"],
            RouteOrigin::Declared,
        );
        left.extend(routes(&["10.5.6.7"], RouteOrigin::Learned).iter());
        assert_eq!(all, left);
        assert!(!all.give_way(&lan), "it is already out");
    }

    #[test]
    fn only_the_named_network_gives_way_to_a_route_elsewhere() {
        let mut all = routes(&["10.96.0.0/16"], RouteOrigin::Declared);
        all.extend(routes(&["10.20.30.40"], RouteOrigin::Learned).iter());
        let vpn = conflict("10.20.30.40", "10.0.0.0/8", ConflictWith::Routed);
        assert!(all.give_way(&vpn));
        assert_eq!(all, routes(&["10.96.0.0/16"], RouteOrigin::Declared));
    }

    #[test]
    fn parts_without_room_are_left_out() {
        let nets: Vec<String> = (1..MAX_RANGES).map(|n| format!("172.16.{n}.0/31")).collect();
        let nets: Vec<&str> = nets.iter().map(String::as_str).collect();
        let mut all = routes(&nets, RouteOrigin::Declared);
        all.extend(routes(&["10.0.0.0/8"], RouteOrigin::Declared).iter());
        assert_eq!(all.len(), MAX_RANGES);
        assert!(all.give_way(&conflict("10.0.0.0/8", "10.1.2.3/32", ConflictWith::Gateway)));
        let beside: Vec<String> = all
            .nets()
            .map(|net| net.to_string())
            .filter(|net| net.starts_with("10."))
            .collect();
        assert_eq!(beside, ["10.1.2.2/32", "10.128.0.0/9"], "the widest fits");
    }

    #[test]
    fn the_origin_that_is_allowed_most_counts() {
        let net: TunnelCidr = "10.1.2.3".parse().expect("address");
        let by = |origin| Route::new(net, origin);
        let mut routes = Routes::default();
        assert!(routes.insert(by(RouteOrigin::Declared)));
        assert!(!routes.insert(by(RouteOrigin::Learned)));
        assert!(routes.contains(&by(RouteOrigin::Learned)) && !routes.contains(&by(RouteOrigin::User)));
        assert!(
            routes.insert(by(RouteOrigin::User)),
            "a stronger origin is a change"
        );
        assert_eq!(routes.iter().collect::<Vec<_>>(), [by(RouteOrigin::User)]);
    }
}
