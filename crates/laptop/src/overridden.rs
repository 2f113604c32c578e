//! Overridden routes: parts of a session's routes whose packets the kernel sends elsewhere, because a routing rule or a
//! narrower route of another program comes first. No I/O.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::route::{KnownRoute, Maker, RouteTo};
use crate::rule::{RoutingRule, rule_behind};

/// Maximum number of addresses about which the kernel is asked.
const MOST_PROBES: usize = 512;

/// Address that stands for a network when the kernel is asked where packets go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probe {
    /// The network.
    pub net: IpNet,
    /// One of its addresses.
    pub address: IpAddr,
}

/// Networks of a session whose packets do not reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overridden {
    /// The networks.
    pub nets: Vec<IpNet>,
    /// The device that gets the packets; `None` if no device does.
    pub device: Option<String>,
    /// What comes before the session's routes.
    pub by: By,
}

impl Overridden {
    /// What the user can do about it.
    pub const REMEDY: &str = "Programs do not reach pods and services with such addresses. End the other VPN, or leave the \
        cluster's networks out of what it routes; `ip rule` and `ip route show table all` show its rules and routes.";
}

/// What comes before a session's routes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum By {
    /// A routing rule, as `ip rule` shows it.
    Rule(String),
    /// A route.
    Route(IpNet),
    /// Nothing that is known.
    Unknown,
}

impl fmt::Display for Overridden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nets: Vec<String> = self.nets.iter().map(IpNet::to_string).collect();
        write!(f, "packets to {} ", nets.join(", "))?;
        match &self.device {
            Some(device) => write!(f, "go to {device} and not to the cluster")?,
            None => f.write_str("are dropped by this laptop")?,
        }
        match &self.by {
            By::Rule(rule) => write!(f, ": the routing rule `{rule}` comes before Slipway's routes"),
            By::Route(net) => write!(f, ": the route {net} comes before Slipway's routes"),
            By::Unknown => Ok(()),
        }
    }
}

/// Returns addresses that stand for all parts of these ranges that may be routed differently: the ends of each range, and
/// each route of other programs within one.
#[must_use]
pub fn probes(ranges: &[IpNet], routes: &[KnownRoute]) -> Vec<Probe> {
    let ends = ranges
        .iter()
        .flat_map(|range| [range.network(), range.broadcast()].map(|address| Probe { net: *range, address }));
    let within = routes
        .iter()
        .filter(|route| route.maker != Maker::Helper)
        .filter(|route| {
            ranges
                .iter()
                .any(|range| range.contains(&route.net) && *range != route.net)
        })
        .map(|route| Probe {
            net: route.net,
            address: route.net.network(),
        });
    let mut probes: Vec<Probe> = Vec::new();
    for probe in ends.chain(within) {
        if probes.len() == MOST_PROBES {
            break;
        }
        if !probes.contains(&probe) {
            probes.push(probe);
        }
    }
    probes
}

/// Returns the networks whose packets do not go to a session, by the kernel's answers about them. `user` is the user whose
/// programs send the packets.
#[must_use]
pub fn overridden(answers: &[(Probe, RouteTo)], rules: &[RoutingRule], user: u32) -> Vec<Overridden> {
    let mut found: Vec<Overridden> = Vec::new();
    for (probe, answer) in answers {
        let (device, route) = match answer {
            RouteTo::Local => continue,
            RouteTo::By(route) if route.maker == Maker::Helper => continue,
            RouteTo::By(route) => (Some(route.device.clone()), Some(route.net)),
            RouteTo::None => (None, None),
        };
        let by = match (rule_behind(answer, rules, probe.address, user), route) {
            (Some(rule), _) => By::Rule(rule.to_string()),
            (None, Some(net)) => By::Route(net),
            (None, None) => By::Unknown,
        };
        match found.iter_mut().find(|one| one.device == device && one.by == by) {
            Some(one) if one.nets.iter().any(|net| net.contains(&probe.net)) => {}
            Some(one) => one.nets.push(probe.net),
            None => found.push(Overridden {
                nets: vec![probe.net],
                device,
                by,
            }),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::RuleAction;

    fn route(net: &str, device: &str, maker: Maker, table: u32) -> KnownRoute {
        KnownRoute {
            net: net.parse().unwrap(),
            gateways: Vec::new(),
            index: 7,
            device: device.into(),
            maker,
            table,
        }
    }

    fn nets(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn rules() -> Vec<RoutingRule> {
        let rule = |priority, table| RoutingRule {
            priority,
            is_v6: false,
            is_inverted: false,
            from: None,
            to: None,
            mark: None,
            incoming: None,
            users: None,
            is_partial: false,
            action: RuleAction::Look { table },
        };
        vec![rule(5270, 52), rule(32766, 254)]
    }

    /// Answers as a kernel with one table, in which the narrowest route counts.
    fn texts(ranges: &[&str], routes: &[KnownRoute]) -> Vec<String> {
        let ask = |probe: Probe| {
            let fitting = routes.iter().filter(|route| route.net.contains(&probe.address));
            let narrowest = fitting.max_by_key(|route| (route.table == 52, route.net.prefix_len()));
            (
                probe,
                narrowest.map_or(RouteTo::None, |route| RouteTo::By(route.clone())),
            )
        };
        let answers: Vec<_> = probes(&nets(ranges), routes).into_iter().map(ask).collect();
        let found = overridden(&answers, &rules(), 1000);
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_rule_that_comes_first_is_named_with_its_device() {
        let ours = [
            route("10.96.0.0/16", "slipway0", Maker::Helper, 254),
            route("10.244.0.0/16", "slipway0", Maker::Helper, 254),
        ];
        let ranges = ["10.96.0.0/16", "10.244.0.0/16"];
        assert_eq!(texts(&ranges, &ours), [""; 0]);
        let wide = [&ours[..], &[route("10.0.0.0/8", "ts0", Maker::Other, 52)]].concat();
        assert_eq!(
            texts(&ranges, &wide),
            [
                "packets to 10.96.0.0/16, 10.244.0.0/16 go to ts0 and not to the cluster: the routing rule `5270: from all \
              lookup 52` comes before Slipway's routes"
            ]
        );
        let part = [&ours[..], &[route("10.96.4.0/24", "ts0", Maker::Other, 52)]].concat();
        assert!(texts(&ranges, &part)[0].starts_with("packets to 10.96.4.0/24 go to ts0"));
    }

    #[test]
    fn a_narrower_route_that_came_later_is_named() {
        let routes = [
            route("10.96.0.0/16", "slipway0", Maker::Helper, 254),
            route("10.96.7.0/24", "wg0", Maker::Other, 254),
        ];
        assert_eq!(
            texts(&["10.96.0.0/16"], &routes),
            [
                "packets to 10.96.7.0/24 go to wg0 and not to the cluster: the route 10.96.7.0/24 comes before Slipway's routes"
            ]
        );
    }

    #[test]
    fn packets_without_a_route_are_dropped() {
        assert_eq!(
            texts(&["10.96.0.0/16"], &[]),
            ["packets to 10.96.0.0/16 are dropped by this laptop"]
        );
    }

    #[test]
    fn the_kernel_is_not_asked_without_end() {
        let ranges: Vec<IpNet> = (0..4096u32)
            .map(|n| IpNet::from(IpAddr::from((0x0a00_0000 + 2 * n).to_be_bytes())))
            .collect();
        assert_eq!(probes(&ranges, &[]).len(), MOST_PROBES);
    }
}
