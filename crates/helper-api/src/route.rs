//! Networks of a lease, each with whose word it is that they belong to the cluster.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::TunnelCidr;

/// Whose word it is that a network belongs to the cluster. The helper has a rule for each, because a cluster must not move
/// addresses that have nothing to do with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RouteOrigin {
    /// An answer of the cluster's DNS named this one address: private, and inside no network that another VPN has.
    Learned,
    /// The cluster declares the network as its own: private, or allowed by the administrator.
    Declared,
    /// The user named it, or the host that has it: private, or a single public address, or allowed by the administrator.
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

/// A network to route, and whose word that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The network.
    pub net: TunnelCidr,
    /// Whose word it is.
    pub origin: RouteOrigin,
}

impl Route {
    /// A route by this word.
    #[must_use]
    pub const fn new(net: TunnelCidr, origin: RouteOrigin) -> Self {
        Self { net, origin }
    }
}

/// Networks without order or repetition. One that several words name has the origin that is allowed most.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Routes(BTreeMap<TunnelCidr, RouteOrigin>);

impl Routes {
    /// Adds a network, and says whether it was not there, or only by the word of somebody who is allowed less.
    pub fn insert(&mut self, route: Route) -> bool {
        match self.0.insert(route.net, route.origin) {
            Some(before) if before >= route.origin => {
                self.0.insert(route.net, before);
                false
            }
            Some(_) | None => true,
        }
    }

    /// Takes a network out.
    pub fn take(&mut self, net: &TunnelCidr) -> Option<Route> {
        let (net, origin) = self.0.remove_entry(net)?;
        Some(Route { net, origin })
    }

    /// The route of a network.
    #[must_use]
    pub fn get(&self, net: &TunnelCidr) -> Option<Route> {
        let (net, origin) = self.0.get_key_value(net)?;
        Some(Route::new(*net, *origin))
    }

    /// Whether a network is there, by that word or by one that is allowed more.
    #[must_use]
    pub fn contains(&self, route: &Route) -> bool {
        self.0
            .get(&route.net)
            .is_some_and(|origin| *origin >= route.origin)
    }

    /// The networks in order.
    pub fn nets(&self) -> impl Iterator<Item = TunnelCidr> {
        self.0.keys().copied()
    }

    /// Networks and origins, in order.
    pub fn iter(&self) -> impl Iterator<Item = Route> {
        self.0.iter().map(|(net, origin)| Route::new(*net, *origin))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
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

    #[test]
    fn the_word_that_is_allowed_most_counts() {
        let net: TunnelCidr = "10.1.2.3".parse().expect("address");
        let by = |origin| Route::new(net, origin);
        let mut routes = Routes::default();
        assert!(routes.insert(by(RouteOrigin::Declared)));
        assert!(!routes.insert(by(RouteOrigin::Learned)));
        assert!(routes.contains(&by(RouteOrigin::Learned)) && !routes.contains(&by(RouteOrigin::User)));
        assert!(routes.insert(by(RouteOrigin::User)), "this is news");
        assert_eq!(routes.iter().collect::<Vec<_>>(), [by(RouteOrigin::User)]);
    }
}
