//! Checks of the cluster's ranges: whether packets to them would go to a session, by the rules of helper and kernel.

use std::io;
use std::net::IpAddr;

use ipnet::IpNet;
use slipway_cluster::ranges::Ranges;
use slipway_control_api::{Check, Finding};
use slipway_laptop::{
    Holder, InUse, Kernel, KnownRoute, Maker, Overridden, Probe, RouteTo, RoutingRule, Union, conflicts,
    is_private, overridden, rule_before_main,
};

use crate::this_laptop;

/// What the kernel and the resolver of this laptop say about the ranges.
struct Laptop {
    routes: Vec<KnownRoute>,
    /// Where the kernel sends packets to the parts of the ranges now.
    answers: Vec<(Probe, RouteTo)>,
    rules: Vec<RoutingRule>,
    servers: Vec<IpAddr>,
    /// User whose programs send the packets.
    user: u32,
}

/// Checks each range of the cluster.
pub(super) async fn check(ranges: &Ranges) -> Vec<Finding> {
    let all: Vec<IpNet> = ranges.services.iter().chain(&ranges.pods).copied().collect();
    if all.is_empty() {
        return vec![Finding::ok(
            Check::Range,
            "The cluster's ranges are not known. Slipway learns addresses one by one, as programs ask for names.",
        )];
    }
    of_ranges(&all, ask(&all).await)
}

async fn ask(ranges: &[IpNet]) -> io::Result<Laptop> {
    let kernel = Kernel::open()?;
    let (answers, rules) = kernel.probed(ranges).await?;
    Ok(Laptop {
        routes: kernel.routes().await?,
        answers,
        rules,
        servers: this_laptop::name_servers_in_use(),
        user: nix::unistd::geteuid().as_raw(),
    })
}

fn of_ranges(ranges: &[IpNet], laptop: io::Result<Laptop>) -> Vec<Finding> {
    match laptop {
        Ok(laptop) => {
            let union = Union::from_iter(ranges.iter().copied());
            let of = |range: &IpNet| of_range(*range, &union, &laptop);
            ranges.iter().map(of).collect()
        }
        Err(error) => vec![Finding::warn(
            Check::Range,
            format!(
                "It is not known whether other networks of this laptop use the cluster's ranges: the kernel did not list \
                 its routes ({error})."
            ),
            "Connect. Slipway then leaves out ranges that another network uses, and reports them.",
        )],
    }
}

/// Returns what the helper would decide about a range of the cluster, by the same rule, and what the kernel does with its
/// packets. `union` has all ranges of the cluster.
fn of_range(range: IpNet, union: &Union, laptop: &Laptop) -> Finding {
    let in_use = conflicts(range, false, union, &laptop.routes, &laptop.servers, 0);
    let (sessions, others): (Vec<InUse>, Vec<InUse>) = in_use
        .into_iter()
        .partition(|in_use| in_use.holder == Holder::Session);
    if !others.is_empty() {
        return Finding::warn(
            Check::Range,
            format!("{range} is also used by {}.", owners(&others)),
            "Pods and services with addresses in both networks cannot be reached, and their names do not resolve. \
             Disconnect from the other network, or end its VPN.",
        )
        .coded("range-not-routed");
    }
    if let Some(taken) = taken(range, !sessions.is_empty(), laptop) {
        return taken;
    }
    if !sessions.is_empty() {
        let owners = owners(&sessions);
        return Finding::ok(
            Check::Range,
            format!("Traffic to {range} goes to the session that has {owners}."),
        );
    }
    let around = laptop
        .routes
        .iter()
        .find(|route| route.maker == Maker::Other && is_private(route.net) && route.net.contains(&range));
    let detail = match around {
        Some(KnownRoute { net, device, .. }) => {
            format!(
                "{range} is free on this laptop. The wider route {net} to {device} is fine: a session takes only {range} out \
                 of it."
            )
        }
        None => format!("{range} is free on this laptop."),
    };
    Finding::ok(Check::Range, detail)
}

/// Returns the finding that packets to the range go elsewhere although a session has it, or would although one had it.
fn taken(range: IpNet, has_session: bool, laptop: &Laptop) -> Option<Finding> {
    let Laptop { rules, user, .. } = laptop;
    let stays = |probe: &Probe, answer: &RouteTo| {
        has_session || rule_before_main(answer, rules, probe.address, *user).is_some()
    };
    let answers: Vec<(Probe, RouteTo)> = laptop
        .answers
        .iter()
        .filter(|(probe, answer)| range.contains(&probe.net) && stays(probe, answer))
        .cloned()
        .collect();
    let first = overridden(&answers, rules, *user).into_iter().next()?;
    let text = first.to_string();
    let detail = match text.strip_prefix("packets") {
        Some(rest) => format!("Packets{rest}."),
        None => format!("{text}."),
    };
    Some(Finding::warn(Check::Range, detail, Overridden::REMEDY).coded("range-overridden"))
}

fn owners(in_use: &[InUse]) -> String {
    let owners: Vec<String> = in_use
        .iter()
        .map(|InUse { net, device, holder }| match holder {
            Holder::NameServer => format!("the name server {}", net.addr()),
            Holder::Gateway => format!("the gateway {}", net.addr()),
            Holder::Attached | Holder::Session | Holder::Routed => format!("{device} ({net})"),
        })
        .collect();
    owners.join(", ")
}

#[cfg(test)]
mod tests {
    use slipway_laptop::{MAIN_TABLE, RuleAction};

    use super::*;
    use crate::command::doctor::text::in_words;

    fn route(net: &str, device: &str, maker: Maker, table: u32) -> KnownRoute {
        KnownRoute {
            net: net.parse().unwrap(),
            gateways: Vec::new(),
            index: 7,
            device: device.to_owned(),
            maker,
            table,
        }
    }

    fn laptop(routes: &[KnownRoute]) -> Laptop {
        Laptop {
            routes: routes.to_vec(),
            answers: Vec::new(),
            rules: Vec::new(),
            servers: Vec::new(),
            user: 1000,
        }
    }

    #[test]
    fn a_range_has_the_verdict_of_the_helpers_rule() {
        let routes = [
            route("10.0.0.0/8", "tun0", Maker::Other, MAIN_TABLE),
            route("10.96.4.0/24", "wg0", Maker::Other, MAIN_TABLE),
            route("10.96.0.0/16", "slipway0", Maker::Helper, MAIN_TABLE),
            route("10.100.0.0/16", "slipway0", Maker::Helper, MAIN_TABLE),
        ];
        let ranges = ["10.96.0.0/16", "10.100.0.0/16", "10.244.0.0/16", "172.20.0.0/16"]
            .map(|range| range.parse().unwrap());
        let laptop = Laptop {
            servers: vec!["172.20.0.53".parse().unwrap()],
            ..laptop(&routes)
        };
        insta::assert_snapshot!(in_words(&of_ranges(&ranges, Ok(laptop))));
    }

    /// A laptop on which rule 5270 sends packets to `ts0` before the table `main` is looked at.
    fn with_rule(connected: bool) -> Laptop {
        let ts0 = route("10.0.0.0/8", "ts0", Maker::Other, 52);
        let ours = route("10.96.0.0/16", "slipway0", Maker::Helper, MAIN_TABLE);
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
        let mut laptop = laptop(std::slice::from_ref(&ts0));
        laptop.routes.extend(connected.then_some(ours));
        laptop.rules = vec![rule(5270, 52), rule(32766, MAIN_TABLE)];
        let probe = Probe {
            net: "10.96.0.0/16".parse().unwrap(),
            address: "10.96.0.0".parse().unwrap(),
        };
        laptop.answers = vec![(probe, RouteTo::By(ts0))];
        laptop
    }

    /// The finding about the only range of a cluster.
    fn of_one(range: IpNet, laptop: &Laptop) -> Finding {
        of_range(range, &Union::from_iter([range]), laptop)
    }

    #[test]
    fn the_halves_of_a_vpn_are_not_free() {
        let routes = [route("10.0.0.0/8", "tun0", Maker::Other, MAIN_TABLE)];
        let halves = ["10.0.0.0/9", "10.128.0.0/9"].map(|half| half.parse().unwrap());
        let codes = |ranges: &[IpNet]| {
            let findings = of_ranges(ranges, Ok(laptop(&routes))).into_iter();
            findings.map(|finding| finding.code).collect::<Vec<_>>()
        };
        let in_use = Some("range-not-routed".to_owned());
        assert_eq!(codes(&halves), [in_use.clone(), in_use]);
        assert_eq!(
            codes(&halves[..1]),
            [None],
            "a part of a VPN may be the cluster's"
        );
    }

    #[test]
    fn a_rule_that_takes_a_range_is_named_with_its_device() {
        let range = "10.96.0.0/16".parse().unwrap();
        for connected in [false, true] {
            let finding = of_one(range, &with_rule(connected));
            assert_eq!(finding.code.as_deref(), Some("range-overridden"));
            assert_eq!(
                finding.detail,
                "Packets to 10.96.0.0/16 go to ts0 and not to the cluster: the routing rule `5270: from all lookup 52` comes \
                 before Slipway's routes."
            );
        }
        let mut after_main = with_rule(false);
        after_main.rules[0].priority = 40000;
        let finding = of_one(range, &after_main);
        assert!(
            finding
                .detail
                .contains("The wider route 10.0.0.0/8 to ts0 is fine"),
            "{}",
            finding.detail
        );
    }

    #[test]
    fn without_the_laptops_routes_no_range_is_called_free() {
        let range = "10.96.0.0/16".parse().unwrap();
        let error = io::Error::from_raw_os_error(105);
        let findings = of_ranges(&[range], Err(error));
        assert!(
            findings
                .iter()
                .all(|finding| finding.verdict == slipway_control_api::Verdict::Warn)
        );
        assert!(!in_words(&findings).contains("free"));
    }
}
