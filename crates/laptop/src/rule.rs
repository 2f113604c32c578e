//! Routing rules of the laptop (ip-rule(8)), which decide in which table the kernel looks for a route.

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use ipnet::IpNet;

use crate::route::{KnownRoute, RouteTo};

/// The table in which ordinary routes are, also the helper's (rtnetlink(7), `RT_TABLE_MAIN`).
pub const MAIN_TABLE: u32 = 254;

/// Routing rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoutingRule {
    /// Place in the order of the rules: the lowest comes first.
    pub priority: u32,
    /// Whether it is for IPv6.
    pub is_v6: bool,
    /// Whether it applies to the packets that its selectors do not describe.
    pub is_inverted: bool,
    /// Source of the packets; `None` for all.
    pub from: Option<IpNet>,
    /// Destination of the packets; `None` for all.
    pub to: Option<IpNet>,
    /// Mark of the packets, and the bits that count; `None` for all.
    pub mark: Option<(u32, u32)>,
    /// Device by which the packets came; `lo` for those of this laptop, `None` for all.
    pub incoming: Option<String>,
    /// Users whose packets they are; `None` for all.
    pub users: Option<RangeInclusive<u32>>,
    /// Whether it has other selectors, such as ports, which describe only some packets.
    pub is_partial: bool,
    /// What it does.
    pub action: RuleAction,
}

/// Action of a routing rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleAction {
    /// Looks for a route in a table.
    Look {
        /// Number of the table.
        table: u32,
    },
    /// Goes on with the rule of this priority.
    Goto(u32),
    /// Drops or refuses the packets.
    Forbid,
    /// Nothing, or an unknown action.
    Nothing,
}

impl RoutingRule {
    /// Returns whether it applies to a packet that an ordinary program of this user sends to the address: without a mark,
    /// and without a source address, because the route decides that.
    fn applies(&self, address: IpAddr, user: u32) -> bool {
        if self.is_v6 != address.is_ipv6() {
            return false;
        }
        let fits = self.from.is_none_or(|from| from.prefix_len() == 0)
            && self.to.is_none_or(|to| to.contains(&address))
            && self.mark.is_none_or(|(mark, bits)| mark & bits == 0)
            && self.incoming.as_deref().is_none_or(|device| device == "lo")
            && self.users.as_ref().is_none_or(|users| users.contains(&user))
            && !self.is_partial;
        fits != self.is_inverted
    }
}

impl fmt::Display for RoutingRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.priority)?;
        if self.is_inverted {
            f.write_str(" not")?;
        }
        match self.from {
            Some(from) => write!(f, " from {from}")?,
            None => f.write_str(" from all")?,
        }
        if let Some(to) = self.to {
            write!(f, " to {to}")?;
        }
        match self.mark {
            Some((mark, u32::MAX)) => write!(f, " fwmark {mark:#x}")?,
            Some((mark, bits)) => write!(f, " fwmark {mark:#x}/{bits:#x}")?,
            None => {}
        }
        if let Some(device) = &self.incoming {
            write!(f, " iif {device}")?;
        }
        if let Some(users) = &self.users {
            write!(f, " uidrange {}-{}", users.start(), users.end())?;
        }
        match self.action {
            RuleAction::Look { table: MAIN_TABLE } => f.write_str(" lookup main"),
            RuleAction::Look { table } => write!(f, " lookup {table}"),
            RuleAction::Goto(priority) => write!(f, " goto {priority}"),
            RuleAction::Forbid => f.write_str(" unreachable"),
            RuleAction::Nothing => f.write_str(" nop"),
        }
    }
}

/// Returns the rules that apply to packets of a user to an address, in their order.
fn applying(rules: &[RoutingRule], address: IpAddr, user: u32) -> impl Iterator<Item = &RoutingRule> {
    let mut ordered: Vec<&RoutingRule> = rules.iter().filter(|rule| rule.applies(address, user)).collect();
    ordered.sort_by_key(|rule| rule.priority);
    let mut from = 0;
    ordered.into_iter().filter(move |rule| {
        let is_next = rule.priority >= from;
        if let (true, RuleAction::Goto(priority)) = (is_next, rule.action) {
            from = priority;
        }
        is_next
    })
}

/// Returns the rule by which the kernel gave this answer about an address; `None` if it is the answer of the table `main`,
/// or if no rule explains it.
#[must_use]
pub fn rule_behind<'a>(
    answer: &RouteTo,
    rules: &'a [RoutingRule],
    address: IpAddr,
    user: u32,
) -> Option<&'a RoutingRule> {
    applying(rules, address, user).find(|rule| explains(rule, answer))
}

/// Returns the rule that would still give this answer if `main` had a route to the address: one that comes before the look
/// into `main`.
#[must_use]
pub fn rule_before_main<'a>(
    answer: &RouteTo,
    rules: &'a [RoutingRule],
    address: IpAddr,
    user: u32,
) -> Option<&'a RoutingRule> {
    let is_main = |rule: &&RoutingRule| rule.action == RuleAction::Look { table: MAIN_TABLE };
    applying(rules, address, user)
        .take_while(|rule| !is_main(rule))
        .find(|rule| explains(rule, answer))
}

fn explains(rule: &RoutingRule, answer: &RouteTo) -> bool {
    match (answer, rule.action) {
        (RouteTo::By(KnownRoute { table, .. }), RuleAction::Look { table: looked }) => {
            *table == looked && looked != MAIN_TABLE
        }
        (RouteTo::None, RuleAction::Forbid) => true,
        (RouteTo::By(_) | RouteTo::None | RouteTo::Local, _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::Maker;

    fn rule(priority: u32, table: u32) -> RoutingRule {
        RoutingRule {
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
        }
    }

    fn by_table(table: u32) -> RouteTo {
        RouteTo::By(KnownRoute {
            net: "10.0.0.0/8".parse().unwrap(),
            gateways: Vec::new(),
            index: 7,
            device: "ts0".into(),
            maker: Maker::Other,
            table,
        })
    }

    /// Returns the rules behind an answer, as it is now and with a route in `main`.
    fn behind(answer: &RouteTo, rules: &[RoutingRule]) -> (Option<String>, Option<String>) {
        let address = "10.96.0.1".parse().unwrap();
        let text = |rule: &RoutingRule| rule.to_string();
        (
            rule_behind(answer, rules, address, 1000).map(text),
            rule_before_main(answer, rules, address, 1000).map(text),
        )
    }

    #[test]
    fn a_rule_before_main_keeps_its_packets() {
        // Tailscale's rules: packets with its mark use `main`, all others its own table first.
        let marked = RoutingRule {
            mark: Some((0x80000, 0xff0000)),
            ..rule(5210, MAIN_TABLE)
        };
        let rules = [rule(32766, MAIN_TABLE), rule(5270, 52), marked, rule(0, 255)];
        let named = Some("5270: from all lookup 52".to_owned());
        assert_eq!(behind(&by_table(52), &rules), (named.clone(), named));
        assert_eq!(behind(&by_table(MAIN_TABLE), &rules), (None, None));
    }

    #[test]
    fn a_rule_after_main_gives_way_to_a_route_there() {
        // wg-quick's rules: routes of `main` that are no default routes come first.
        let others = RoutingRule {
            mark: Some((0xca6c, u32::MAX)),
            is_inverted: true,
            ..rule(32765, 51820)
        };
        let rules = [rule(32764, MAIN_TABLE), others, rule(32766, MAIN_TABLE)];
        let named = Some("32765: not from all fwmark 0xca6c lookup 51820".to_owned());
        assert_eq!(behind(&by_table(51820), &rules), (named, None));
    }

    #[test]
    fn rules_for_other_packets_are_not_blamed() {
        let others = [
            RoutingRule {
                to: Some("172.16.0.0/12".parse().unwrap()),
                ..rule(1, 52)
            },
            RoutingRule {
                from: Some("192.168.1.7/32".parse().unwrap()),
                ..rule(2, 52)
            },
            RoutingRule {
                incoming: Some("docker0".into()),
                ..rule(3, 52)
            },
            RoutingRule {
                users: Some(0..=0),
                ..rule(4, 52)
            },
            RoutingRule {
                is_partial: true,
                ..rule(5, 52)
            },
            RoutingRule {
                is_v6: true,
                ..rule(6, 52)
            },
        ];
        assert_eq!(behind(&by_table(52), &others), (None, None));
        let ours = RoutingRule {
            to: Some("10.96.0.0/16".parse().unwrap()),
            incoming: Some("lo".into()),
            users: Some(1000..=1000),
            ..rule(7, 52)
        };
        let named = Some("7: from all to 10.96.0.0/16 iif lo uidrange 1000-1000 lookup 52".to_owned());
        assert_eq!(behind(&by_table(52), &[ours]), (named.clone(), named));
    }

    #[test]
    fn a_rule_that_forbids_is_named_for_a_missing_route() {
        let forbids = RoutingRule {
            action: RuleAction::Forbid,
            ..rule(5250, 0)
        };
        let named = Some("5250: from all unreachable".to_owned());
        assert_eq!(behind(&RouteTo::None, &[forbids]), (named.clone(), named));
    }

    #[test]
    fn a_jump_passes_over_rules() {
        let jump = RoutingRule {
            action: RuleAction::Goto(30000),
            ..rule(100, 0)
        };
        let rules = [jump, rule(5270, 52), rule(30000, 53)];
        assert_eq!(behind(&by_table(52), &rules), (None, None));
        assert!(behind(&by_table(53), &rules).1.is_some());
    }
}
