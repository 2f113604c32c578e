//! Temporary rule of the node for packets from a test's laptop, or from its agent.

use crate::Desk;

/// A rule of nftables on the node, removed when this is dropped.
pub struct NodeRule<'a> {
    desk: &'a Desk<'a>,
    table: String,
}

impl<'a> NodeRule<'a> {
    /// Adds a rule for packets from the laptop. `name` distinguishes it from other rules for the laptop.
    pub fn begin(desk: &'a Desk<'a>, name: &str, rule: &str) -> NodeRule<'a> {
        let from = desk.laptop.address();
        NodeRule::on(
            desk,
            name,
            "prerouting priority -300",
            &format!("ip saddr {from} {rule}"),
        )
    }

    /// Adds a rule at a hook, for all packets.
    pub fn on(desk: &'a Desk<'a>, name: &str, hook: &str, rule: &str) -> NodeRule<'a> {
        // All laptops have rules on the same node, so each rule has its own table.
        let table = format!("slipway-test-{name}-{}", desk.laptop.kind());
        let rules = format!("table ip {table} {{ chain c {{ type filter hook {hook}; {rule}; }}; }}");
        let added = desk
            .bed
            .command_on_node("nft", [rules.as_str()])
            .output()
            .unwrap();
        assert!(added.status.success(), "{added:?}");
        NodeRule { desk, table }
    }
}

impl Drop for NodeRule<'_> {
    fn drop(&mut self) {
        let delete = format!("delete table ip {}", self.table);
        let _ = self.desk.bed.command_on_node("nft", [delete.as_str()]).output();
    }
}
