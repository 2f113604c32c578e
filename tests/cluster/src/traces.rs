//! What a session leaves on a laptop, if it leaves anything.

use std::process::Stdio;

use slipway_bed::{Laptop, LaptopKind};

/// Everything on a laptop that a session may have changed.
#[derive(Debug, PartialEq, Eq)]
pub struct Traces(Vec<String>);

impl Traces {
    /// As they are now.
    pub fn of(laptop: &Laptop) -> Traces {
        let look = |program: &str, arguments: &[&str]| {
            let output = laptop
                .command_as_root(program, arguments)
                .stdin(Stdio::null())
                .output()
                .unwrap();
            format!(
                "{program} {arguments:?}:\n{}",
                String::from_utf8_lossy(&output.stdout)
            )
        };
        let mut traces = vec![
            look("ip", &["-brief", "link"]),
            look("ip", &["-brief", "address"]),
            look("ip", &["route", "show", "table", "all"]),
            look("ip", &["-6", "route", "show"]),
            look("ip", &["rule"]),
            look("nft", &["list", "ruleset"]),
            look("cat", &["/etc/resolv.conf"]),
        ];
        if laptop.kind() == LaptopKind::Resolved {
            traces.push(look("resolvectl", &["domain"]));
            traces.push(look("resolvectl", &["dns"]));
        }
        Traces(traces)
    }

    /// What differs from what was before, in words for people.
    pub(crate) fn beside(&self, before: &Traces) -> String {
        let pairs = self.0.iter().zip(&before.0).filter(|(now, then)| now != then);
        pairs
            .map(|(now, then)| format!("--- before: {then}\n--- now: {now}\n"))
            .collect()
    }
}
