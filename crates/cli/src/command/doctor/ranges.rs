//! Checks of the networks that a session would have: whether packets to them would go to it, by the rules of helper and
//! kernel.

mod facts;
mod laptop;
mod layout;
mod wanted;

use std::io;

use ipnet::IpNet;
use slipway_cluster::ranges::Ranges;
use slipway_control_api::{Check, Finding, FindingData, RangeOrigin};
use slipway_laptop::{Holder, InUse, KnownRoute, Overridden, Union};

use self::facts::Judged;
use self::laptop::Laptop;
use self::wanted::Wanted;
use super::reporter::Reporter;
use super::subject::Subject;

pub(super) use self::wanted::of_user;

/// Checks each network that a session of the profile would have, and reports the laptop's routes. `learned` has the
/// cluster's ranges, if it could be asked.
pub(super) async fn check(
    learned: Option<&Ranges>,
    subject: &Subject,
    reporter: &Reporter<'_>,
) -> Vec<Finding> {
    let wanted = Wanted::all(learned, &subject.profile);
    let mut findings = Vec::new();
    if learned.is_some_and(|ranges| ranges.services.is_empty() && ranges.pods.is_empty()) {
        findings.push(Finding::ok(
            Check::Range,
            "The cluster's ranges are not known. Slipway learns addresses one by one, as programs ask for names.",
        ));
    }
    if wanted.is_empty() {
        return findings;
    }
    let ranges: Vec<IpNet> = wanted.iter().map(|wanted| wanted.range).collect();
    let laptop = Laptop::ask(&ranges, subject).await;
    if let Ok(laptop) = &laptop {
        reporter.layout(layout::of(laptop)).await;
    }
    findings.extend(of_ranges(&wanted, laptop));
    findings
}

fn of_ranges(wanted: &[Wanted], laptop: io::Result<Laptop>) -> Vec<Finding> {
    match laptop {
        Ok(laptop) => {
            let union = Union::from_iter(wanted.iter().map(|wanted| wanted.range));
            let of = |wanted: &Wanted| of_range(wanted, &union, &laptop);
            wanted.iter().map(of).collect()
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

/// Returns what the helper would decide about a network, by the same rule, and what the kernel does with its packets.
/// `union` has all networks of the session.
fn of_range(wanted: &Wanted, union: &Union, laptop: &Laptop) -> Finding {
    let judged = Judged::of(wanted.range, union, laptop);
    let mut finding = in_words(wanted, &judged);
    for (profile, nets) in &judged.profiles {
        let nets: Vec<String> = nets.iter().map(IpNet::to_string).collect();
        finding.detail.push_str(&format!(
            " Profile {profile} sends {} to its cluster too: of two sessions, the one that connected first has it.",
            nets.join(", ")
        ));
    }
    finding.with_data(FindingData::Range(judged.facts(wanted, laptop)))
}

fn in_words(Wanted { range, origin }: &Wanted, judged: &Judged<'_>) -> Finding {
    let (shown, remedy) = match origin {
        RangeOrigin::AlsoProxy => (
            format!("{} (also-proxy)", short(*range)),
            "Programs do not reach the cluster at addresses in both networks. Leave the network out of `also-proxy`, \
             disconnect from the other network, or end its VPN.",
        ),
        RangeOrigin::Services | RangeOrigin::Pods | RangeOrigin::Unknown => (
            range.to_string(),
            "Pods and services with addresses in both networks cannot be reached, and their names do not resolve. \
             Disconnect from the other network, or end its VPN.",
        ),
    };
    if let Some(why) = &judged.unroutable {
        let detail = format!("{shown} is not routed to the cluster: {why}.");
        let remedy = match origin {
            RangeOrigin::AlsoProxy => "Leave it out of `also-proxy`, or name narrower networks.",
            RangeOrigin::Services | RangeOrigin::Pods | RangeOrigin::Unknown => {
                "Pods and services with such addresses cannot be reached, and their names do not resolve."
            }
        };
        return Finding::warn(Check::Range, detail, remedy).coded("range-not-routed");
    }
    if !judged.others.is_empty() {
        let owners = owners(&judged.others);
        let detail = format!("{shown} is also used by {owners}.");
        return Finding::warn(Check::Range, detail, remedy).coded("range-not-routed");
    }
    if let Some(overridden) = judged.overridden.first() {
        let text = overridden.to_string();
        let detail = match text.strip_prefix("packets") {
            Some(rest) => format!("Packets{rest}."),
            None => format!("{text}."),
        };
        return Finding::warn(Check::Range, detail, Overridden::REMEDY).coded("range-overridden");
    }
    if !judged.sessions.is_empty() {
        let owners = owners(&judged.sessions);
        let detail = format!("Traffic to {shown} goes to the session that has {owners}.");
        return Finding::ok(Check::Range, detail);
    }
    let detail = match judged.around.first() {
        Some(KnownRoute { net, device, .. }) => format!(
            "{shown} is free on this laptop. The wider route {net} to {device} is fine: a session takes only {range} out of \
             it."
        ),
        None => format!("{shown} is free on this laptop."),
    };
    Finding::ok(Check::Range, detail)
}

/// Returns a network as text; one address without its prefix.
fn short(net: IpNet) -> String {
    match net.prefix_len() == net.max_prefix_len() {
        true => net.addr().to_string(),
        false => net.to_string(),
    }
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
    use slipway_control_api::{NetworkHolder, Overlap, RangeFacts, RangeWinner};
    use slipway_laptop::{MAIN_TABLE, Maker, Probe, RouteTo, RoutingRule, RuleAction};

    use super::*;
    use crate::command::doctor::text::in_words as text_of;

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
            sessions: Vec::new(),
            profiles: Vec::new(),
        }
    }

    fn service(range: &str) -> Wanted {
        Wanted {
            range: range.parse().unwrap(),
            origin: RangeOrigin::Services,
        }
    }

    fn facts(finding: &Finding) -> &RangeFacts {
        match &finding.data {
            Some(FindingData::Range(facts)) => facts,
            other => panic!("no facts: {other:?}"),
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
        let ranges = ["10.96.0.0/16", "10.100.0.0/16", "10.244.0.0/16", "172.20.0.0/16"].map(service);
        let laptop = Laptop {
            servers: vec!["172.20.0.53".parse().unwrap()],
            ..laptop(&routes)
        };
        insta::assert_snapshot!(text_of(&of_ranges(&ranges, Ok(laptop))));
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
    fn of_one(wanted: Wanted, laptop: &Laptop) -> Finding {
        of_range(&wanted, &Union::from_iter([wanted.range]), laptop)
    }

    #[test]
    fn the_halves_of_a_vpn_are_not_free() {
        let routes = [route("10.0.0.0/8", "tun0", Maker::Other, MAIN_TABLE)];
        let halves = ["10.0.0.0/9", "10.128.0.0/9"].map(service);
        let codes = |ranges: &[Wanted]| {
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
        let range = service("10.96.0.0/16");
        for connected in [false, true] {
            let finding = of_one(range, &with_rule(connected));
            assert_eq!(finding.code.as_deref(), Some("range-overridden"));
            assert_eq!(facts(&finding).goes_to, RangeWinner::Laptop);
            let rule = NetworkHolder::Rule {
                rule: "5270: from all lookup 52".to_owned(),
            };
            let overlaps = &facts(&finding).overlaps;
            assert!(
                overlaps.iter().any(|overlap| overlap.holder == rule),
                "{overlaps:?}"
            );
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
        let range = service("10.96.0.0/16");
        let error = io::Error::from_raw_os_error(105);
        let findings = of_ranges(&[range], Err(error));
        assert!(
            findings
                .iter()
                .all(|finding| finding.verdict == slipway_control_api::Verdict::Warn)
        );
        assert!(!text_of(&findings).contains("free"));
    }

    #[test]
    fn what_overlaps_a_range_is_told_as_data() {
        let routes = [
            route("10.0.0.0/8", "tun0", Maker::Other, MAIN_TABLE),
            route("10.3.4.0/24", "wg0", Maker::Other, MAIN_TABLE),
            route("192.168.1.0/24", "wlan0", Maker::Kernel, MAIN_TABLE),
        ];
        let laptop = Laptop {
            profiles: vec![("corp".to_owned(), vec!["10.3.128.0/17".parse().unwrap()])],
            ..laptop(&routes)
        };
        let wanted = Wanted {
            range: "10.3.0.0/16".parse().unwrap(),
            origin: RangeOrigin::AlsoProxy,
        };
        let finding = of_one(wanted, &laptop);
        assert_eq!(
            finding.detail,
            "10.3.0.0/16 (also-proxy) is also used by wg0 (10.3.4.0/24). Profile corp sends 10.3.128.0/17 to its cluster too: \
             of two sessions, the one that connected first has it."
        );
        insta::assert_json_snapshot!(facts(&finding));
    }

    #[test]
    fn a_network_that_no_laptop_routes_is_told() {
        let also = |range: &str| {
            let wanted = Wanted {
                range: range.parse().unwrap(),
                origin: RangeOrigin::AlsoProxy,
            };
            of_one(wanted, &laptop(&[]))
        };
        let wide = also("8.0.0.0/6");
        assert_eq!(wide.code.as_deref(), Some("range-not-routed"));
        assert_eq!(facts(&wide).goes_to, RangeWinner::Laptop);
        assert!(
            wide.detail.starts_with("8.0.0.0/6 (also-proxy) is not routed"),
            "{wide:?}"
        );
        assert_eq!(
            also("10.3.0.7/32").detail,
            "10.3.0.7 (also-proxy) is free on this laptop."
        );
    }

    #[test]
    fn the_session_that_has_a_range_is_named() {
        let laptop = laptop(&[route("10.96.0.0/16", "slipway0", Maker::Helper, MAIN_TABLE)]);
        let finding = of_one(service("10.96.0.0/16"), &laptop);
        let facts = facts(&finding);
        assert_eq!(facts.goes_to, RangeWinner::Session);
        let holder = NetworkHolder::Session {
            session: None,
            profile: None,
        };
        let overlap = Overlap {
            net: facts.range,
            device: Some("slipway0".to_owned()),
            holder,
            wins: true,
        };
        assert_eq!(facts.overlaps, [overlap]);
    }

    #[test]
    fn routes_are_laid_out_by_address() {
        let routes = [
            route("192.168.1.0/24", "wlan0", Maker::Kernel, MAIN_TABLE),
            route("fe80::/64", "wlan0", Maker::Kernel, MAIN_TABLE),
            route("10.0.0.0/8", "tun0", Maker::Other, MAIN_TABLE),
            route("0.0.0.0/0", "wlan0", Maker::Other, MAIN_TABLE),
            route("ff00::/8", "wlan0", Maker::Kernel, MAIN_TABLE),
        ];
        let layout = layout::of(&laptop(&routes));
        let nets: Vec<String> = layout.routes.iter().map(|route| route.net.to_string()).collect();
        assert_eq!(nets, ["0.0.0.0/0", "10.0.0.0/8", "192.168.1.0/24"]);
        assert_eq!(layout.more, 0);
    }
}
