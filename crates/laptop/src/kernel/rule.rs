//! Reading of routing rules from messages of the kernel.

use ipnet::IpNet;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::rule::{RuleAction as Action, RuleAttribute, RuleFlags, RuleMessage};

use crate::rule::{RoutingRule, RuleAction};

/// Reads a rule. Selectors that are not known make it one for some packets only.
pub(super) fn read(message: &RuleMessage) -> RoutingRule {
    let header = &message.header;
    let mut rule = RoutingRule {
        priority: 0,
        is_v6: header.family == AddressFamily::Inet6,
        is_inverted: header.flags.contains(RuleFlags::Invert),
        from: None,
        to: None,
        mark: None,
        incoming: None,
        users: None,
        is_partial: header.tos != 0,
        action: RuleAction::Nothing,
    };
    let (mut table, mut next) = (u32::from(header.table), None);
    let (mut mark, mut bits) = (None, None);
    for attribute in &message.attributes {
        if let RuleAttribute::Priority(priority) = attribute {
            rule.priority = *priority;
        } else if let RuleAttribute::Source(address) = attribute {
            rule.from = IpNet::new(*address, header.src_len).ok();
        } else if let RuleAttribute::Destination(address) = attribute {
            rule.to = IpNet::new(*address, header.dst_len).ok();
        } else if let RuleAttribute::FwMark(value) = attribute {
            mark = Some(*value);
        } else if let RuleAttribute::FwMask(value) = attribute {
            bits = Some(*value);
        } else if let RuleAttribute::Iifname(device) = attribute {
            rule.incoming = Some(device.clone());
        } else if let RuleAttribute::UidRange(users) = attribute {
            rule.users = Some(users.start..=users.end);
        } else if let RuleAttribute::Table(number) = attribute {
            table = *number;
        } else if let RuleAttribute::Goto(priority) = attribute {
            next = Some(*priority);
        } else {
            rule.is_partial |= selects(attribute);
        }
    }
    // The kernel sends a mask with every rule; without a mark and with an empty mask it selects nothing.
    rule.mark = mark
        .zip(bits.or(Some(u32::MAX)))
        .filter(|(mark, bits)| mark & bits != 0);
    rule.action = action(header.action, table, next);
    rule
}

fn action(action: Action, table: u32, next: Option<u32>) -> RuleAction {
    if action == Action::ToTable {
        RuleAction::Look { table }
    } else if action == Action::Goto {
        next.map_or(RuleAction::Nothing, RuleAction::Goto)
    } else if [Action::Blackhole, Action::Unreachable, Action::Prohibit].contains(&action) {
        RuleAction::Forbid
    } else {
        RuleAction::Nothing
    }
}

/// Whether an attribute restricts a rule to some packets, in a way that [`RoutingRule`] does not describe.
fn selects(attribute: &RuleAttribute) -> bool {
    matches!(
        attribute,
        RuleAttribute::Oifname(_)
            | RuleAttribute::L3MDev(true)
            | RuleAttribute::IpProtocol(_)
            | RuleAttribute::SourcePortRange(_)
            | RuleAttribute::DestinationPortRange(_)
    ) || matches!(attribute, RuleAttribute::TunId(id) if *id != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_read_as_the_kernel_sends_it() {
        let mut message = RuleMessage::default();
        message.header.family = AddressFamily::Inet;
        message.header.table = 52;
        message.header.action = Action::ToTable;
        message.header.dst_len = 8;
        message.attributes = vec![
            RuleAttribute::Priority(5270),
            RuleAttribute::Destination([10, 0, 0, 0].into()),
            RuleAttribute::SuppressPrefixLen(u32::MAX),
            RuleAttribute::Table(0xca6c),
        ];
        assert_eq!(
            read(&message).to_string(),
            "5270: from all to 10.0.0.0/8 lookup 51820"
        );
        assert!(!read(&message).is_partial);
        message.attributes = vec![
            RuleAttribute::Priority(5210),
            RuleAttribute::FwMark(0x80000),
            RuleAttribute::FwMask(0xff0000),
        ];
        assert_eq!(
            read(&message).to_string(),
            "5210: from all fwmark 0x80000/0xff0000 lookup 52"
        );
        message.header.action = Action::Unreachable;
        message.attributes = vec![RuleAttribute::DestinationPortRange(
            netlink_packet_route::rule::RulePortRange { start: 53, end: 53 },
        )];
        let rule = read(&message);
        assert_eq!((rule.action, rule.is_partial), (RuleAction::Forbid, true));
    }
}
