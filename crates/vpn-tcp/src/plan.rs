//! Routes to request from the helper, and warnings about networks that are not routed. No I/O.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use slipway_helper_api::{
    Conflict, ConflictWith, HelperRefusal, RangeTrouble, Route, RouteOrigin, Routes, TunnelCidr,
};
use slipway_helper_client::range_remedy;
use slipway_method::Doubt;
use slipway_names::Name;
use slipway_problem::{Action, Fault};

use crate::error::doctor;

/// Warning about a network or domain that does not lead to the cluster. The session continues without it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Warning {
    /// The laptop uses the network.
    InUse(Conflict),
    /// A rule of the laptop forbids routing the network.
    KeptOut {
        /// The network.
        range: IpNet,
        /// The rule, for people.
        why: String,
        /// What the user can do, as the end of a sentence.
        remedy: &'static str,
    },
    /// The domain that the cluster declares may belong to others.
    DoubtfulDomain {
        /// The domain.
        domain: Name,
        /// The reason.
        doubt: Doubt,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Warning::InUse(conflict) if conflict.with == ConflictWith::Session => {
                write!(
                    f,
                    "{conflict}. Packets to addresses in both networks reach the cluster of that session"
                )
            }
            Warning::InUse(conflict) => {
                write!(
                    f,
                    "{conflict}. Packets to addresses in both networks do not reach the cluster"
                )
            }
            Warning::KeptOut { range, why, .. } => write!(f, "{range} is not routed to the cluster: {why}"),
            Warning::DoubtfulDomain { domain, doubt } => write!(
                f,
                "the cluster declares the domain `{domain}`, but {doubt}. The laptop's name servers answer names \
                 below `{domain}`; short names of the cluster work"
            ),
        }
    }
}

impl Warning {
    /// Returns whether this is about exactly that network.
    pub(crate) fn is_about(&self, net: TunnelCidr) -> bool {
        match self {
            Warning::InUse(conflict) => conflict.range == net,
            Warning::KeptOut { range, .. } => *range == net.net(),
            Warning::DoubtfulDomain { .. } => false,
        }
    }

    /// Returns whether another session, perhaps of the same cluster, has the range.
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self, Warning::InUse(conflict) if conflict.with == ConflictWith::Session)
    }
}

impl std::error::Error for Warning {}

impl Fault for Warning {
    fn code(&self) -> &str {
        match self {
            Warning::DoubtfulDomain { .. } => "cluster-domain-doubtful",
            _ if self.is_shared() => "range-shared",
            Warning::InUse(_) | Warning::KeptOut { .. } => "range-not-routed",
        }
    }

    fn remedy(&self) -> String {
        let remedy = match self {
            Warning::InUse(conflict) => match conflict.with {
                ConflictWith::Session => {
                    "If both sessions use the same cluster, this is fine. If not, end the other session with `slipway \
                     disconnect`; this session then has them."
                }
                ConflictWith::Gateway
                | ConflictWith::Attached
                | ConflictWith::Routed
                | ConflictWith::NameServer => {
                    "Pods and services with such addresses cannot be reached, and their names do not resolve, until you \
                     disconnect from the other network or end its VPN; `slipway doctor` shows whose it is."
                }
            },
            Warning::KeptOut { remedy, .. } => {
                return format!(
                    "Pods and services in that range cannot be reached, and their names do not resolve; {remedy}."
                );
            }
            Warning::DoubtfulDomain { .. } => {
                "If the domain belongs to the cluster, connect with `--cluster-domain DOMAIN`, or set `cluster-domain` \
                 in the profile's `[dns]`."
            }
        };
        remedy.to_owned()
    }

    fn actions(&self) -> Vec<Action> {
        match self {
            Warning::InUse(conflict) if conflict.with != ConflictWith::Session => vec![doctor()],
            Warning::InUse(_) | Warning::KeptOut { .. } | Warning::DoubtfulDomain { .. } => Vec::new(),
        }
    }
}

/// Returns the networks that a lease may have, without the addresses that never lead through the tunnel.
pub(crate) fn routable(declared: &[IpNet], users: &[IpNet], never: &[IpAddr]) -> (Routes, Vec<Warning>) {
    let mut routes = Routes::default();
    let mut warnings = Vec::new();
    for (ranges, origin) in [(declared, RouteOrigin::Declared), (users, RouteOrigin::User)] {
        for range in ranges {
            match TunnelCidr::try_from(*range) {
                Ok(net) => routes.extend(without(Route::new(net, origin), never)),
                Err(why) => warnings.push(Warning::KeptOut {
                    range: *range,
                    why: why.to_string(),
                    remedy: "if `also-proxy` names it, leave it out",
                }),
            }
        }
    }
    (routes, warnings)
}

/// Returns these routes without the addresses that never lead through the tunnel.
pub(crate) fn without_addresses(routes: &Routes, never: &[IpAddr]) -> Routes {
    routes.iter().flat_map(|route| without(route, never)).collect()
}

fn without(route: Route, never: &[IpAddr]) -> Vec<Route> {
    let parts = never.iter().fold(vec![route.net], |parts, address| {
        parts
            .iter()
            .flat_map(|part| part.without((*address).into()))
            .collect()
    });
    parts
        .into_iter()
        .map(|net| Route::new(net, route.origin))
        .collect()
}

/// Returns the networks without those that the helper refused, and warnings about these. `None` if the refusal is not
/// about networks.
pub(crate) fn narrowed(routes: &Routes, refusal: &HelperRefusal) -> Option<(Routes, Vec<Warning>)> {
    match refusal {
        HelperRefusal::Conflicts(conflicts) => {
            let mut left = routes.clone();
            for conflict in conflicts {
                left.give_way(conflict);
            }
            let warnings = conflicts.iter().cloned().map(Warning::InUse).collect();
            (left != *routes).then_some((left, warnings))
        }
        HelperRefusal::RangeRefused { range, why } => {
            let mut left = routes.clone();
            let was_there = left.take(range).is_some();
            let warning = Warning::KeptOut {
                range: range.net(),
                why: why.to_string(),
                remedy: range_remedy(*why),
            };
            // No warning if IPv6 is switched off: programs do not use IPv6 addresses then.
            let warnings = if *why == RangeTrouble::NoIpv6 {
                Vec::new()
            } else {
                vec![warning]
            };
            was_there.then_some((left, warnings))
        }
        HelperRefusal::NotAuthorized { .. }
        | HelperRefusal::VersionMismatch { .. }
        | HelperRefusal::TooManyLeases { .. }
        | HelperRefusal::NoFreeSlot
        | HelperRefusal::TooManyRoutes { .. }
        | HelperRefusal::NoTunDevice { .. }
        | HelperRefusal::Kernel { .. }
        | HelperRefusal::DnsUnavailable(_)
        | HelperRefusal::DomainRefused { .. }
        | HelperRefusal::OutOfOrder
        | HelperRefusal::LeaseExists
        | HelperRefusal::NoLease
        | HelperRefusal::Busy
        | HelperRefusal::Defect => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(ranges: &[&str]) -> Routes {
        let nets = ranges.iter().map(|range| range.parse().unwrap());
        nets.map(|net| Route::new(net, RouteOrigin::Declared)).collect()
    }

    #[test]
    fn a_range_is_routed_without_the_network_in_use() {
        let conflict = Conflict {
            range: "10.0.0.0/14".parse().unwrap(),
            route: "10.1.0.0/16".parse().unwrap(),
            device: "wlan0".to_owned(),
            with: ConflictWith::Attached,
        };
        let refusal = HelperRefusal::Conflicts(vec![conflict.clone()]);
        let (left, warnings) = narrowed(&set(&["10.0.0.0/14", "10.96.0.0/16"]), &refusal).unwrap();
        assert_eq!(left, set(&["10.0.0.0/16", "10.2.0.0/15", "10.96.0.0/16"]));
        assert_eq!(warnings, [Warning::InUse(conflict)]);
        assert_eq!(
            narrowed(&left, &refusal),
            None,
            "another request would change nothing"
        );
    }

    #[test]
    fn reserved_networks_are_left_out_with_a_warning() {
        let ranges = ["10.96.0.0/16", "169.254.0.0/16"].map(|range| range.parse().unwrap());
        let (routes, warnings) = routable(&ranges, &[], &[]);
        assert_eq!(routes, set(&["10.96.0.0/16"]));
        assert!(matches!(&warnings[..], [Warning::KeptOut { range, .. }] if *range == ranges[1]));
    }

    #[test]
    fn a_range_is_routed_without_the_api_servers_address() {
        let range = "10.0.0.0/30".parse().unwrap();
        let (routes, _) = routable(&[range], &[], &["10.0.0.1".parse().unwrap()]);
        assert_eq!(routes, set(&["10.0.0.0/32", "10.0.0.2/31"]));
    }

    #[test]
    fn a_refusal_that_is_not_about_networks_is_final() {
        assert_eq!(
            narrowed(&set(&["10.96.0.0/16"]), &HelperRefusal::NoFreeSlot),
            None
        );
    }
}
