//! Traces of sessions on a laptop.

use std::process::Stdio;

use slipway_bed::{Laptop, LaptopKind};

/// State of a laptop that sessions may change: links, addresses, routes, rules, DNS.
#[derive(Debug, PartialEq, Eq)]
pub struct Traces(Vec<String>);

impl Traces {
    /// Reads the present state.
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

    /// Formats the differences from an earlier state.
    pub(crate) fn beside(&self, before: &Traces) -> String {
        let pairs = self.0.iter().zip(&before.0).filter(|(now, then)| now != then);
        pairs
            .map(|(now, then)| format!("--- before: {then}\n--- now: {now}\n"))
            .collect()
    }
}
