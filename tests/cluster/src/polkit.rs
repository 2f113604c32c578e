//! Rule of polkit that lets the helper set systemd-resolved's settings of its link.

use std::process::Stdio;
use std::time::Duration;

use slipway_bed::Laptop;

use crate::{until, until_within};

/// The package's rule for polkit, installed on a laptop until this is dropped.
pub(crate) struct PolkitRule<'a>(&'a Laptop);

impl PolkitRule<'_> {
    const PLACE: &'static str = "/etc/polkit-1/rules.d/49-slipway-helper.rules";

    pub(crate) fn install(laptop: &Laptop) -> PolkitRule<'_> {
        let source = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../packaging/polkit/slipway-helper.rules"
        );
        laptop
            .write(
                "/tmp/slipway-helper.rules",
                &std::fs::read_to_string(source).unwrap(),
            )
            .unwrap();
        let rule = PolkitRule(laptop);
        let read = (0..5).any(|_| {
            // polkitd may read a file before it is complete, and merges events of one folder that follow each other closely.
            // So the rule is moved there complete, and again if polkitd did not see it.
            let copied = laptop
                .command_as_root("cp", ["/tmp/slipway-helper.rules", "/tmp/slipway-helper.copy"])
                .status();
            let moved = laptop
                .command_as_root("mv", ["/tmp/slipway-helper.copy", PolkitRule::PLACE])
                .status();
            assert!(copied.unwrap().success() && moved.unwrap().success());
            until_within(Duration::from_secs(4), "polkit reads the rule", || rule.holds()).is_ok()
        });
        assert!(read, "polkit did not read the rule");
        rule
    }

    /// Whether polkit lets the helper change a link. The call does not change the loopback's setting.
    fn holds(&self) -> bool {
        let manager = [
            "org.freedesktop.resolve1",
            "/org/freedesktop/resolve1",
            "org.freedesktop.resolve1.Manager",
        ];
        let call = [&["call"], &manager[..], &["SetLinkDNSSEC", "is", "2", "no"]].concat();
        let output = self
            .0
            .command_as_helper("busctl", call)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        output.status.success()
    }
}

impl Drop for PolkitRule<'_> {
    fn drop(&mut self) {
        let _ = self.0.command_as_root("rm", ["-f", PolkitRule::PLACE]).status();
        let _ = until("polkit forgets the rule", || !self.holds());
    }
}
