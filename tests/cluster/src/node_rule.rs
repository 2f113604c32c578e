//! What the node does, while a test wants it, with packets that come from the test's laptop.

use crate::Desk;

/// A rule of nftables on the node, gone with this.
pub struct NodeRule<'a> {
    desk: &'a Desk<'a>,
    table: String,
}

impl<'a> NodeRule<'a> {
    /// From now on, for what comes from the laptop. `name` tells the rule from others that the laptop has.
    pub fn begin(desk: &'a Desk<'a>, name: &str, rule: &str) -> NodeRule<'a> {
        // Every laptop's rules are on the same node: a table of one must not go with another's.
        let table = format!("slipway-test-{name}-{}", desk.laptop.kind());
        let from = desk.laptop.address();
        let rules = format!(
            "table ip {table} {{ chain c {{ type filter hook prerouting priority -300; \
             ip saddr {from} {rule}; }}; }}"
        );
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
        let _removed = self.desk.bed.command_on_node("nft", [delete.as_str()]).output();
    }
}
