//! Findings as people read them.

use slipway_control_api::{Check, Finding, Verdict};

/// A line for each finding, its remedy under it.
pub(super) fn in_words(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let verdict = match finding.verdict {
            Verdict::Ok => "ok",
            Verdict::Warn => "warn",
            Verdict::Fail => "FAIL",
        };
        let check = match finding.check {
            Check::Kernel => "kernel",
            Check::Tun => "TUN",
            Check::Helper => "helper",
            Check::Resolver => "resolver",
            Check::Method => "method",
            Check::Kubeconfig => "kubeconfig",
            Check::ApiServer => "API server",
            Check::Permission => "permission",
            Check::Range => "range",
            Check::Unknown => "other",
        };
        text.push_str(&format!("{verdict:4}  {check:10}  {}\n", finding.detail));
        for line in finding.remedy.iter().flat_map(|remedy| remedy.lines()) {
            text.push_str(format!("{:18}{line}", "").trim_end());
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings() -> Vec<Finding> {
        vec![
            Finding::ok(Check::Kernel, "This user may make network namespaces."),
            Finding::warn(
                Check::Range,
                "10.96.0.0/16 is also used by wg0.",
                "Names still work.",
            ),
            Finding::fail(
                Check::Permission,
                "You may not create jobs (batch) in namespace shop.",
                "Ask for this Role:\n\nkind: Role",
            ),
        ]
    }

    #[test]
    fn each_remedy_stands_under_what_it_mends() {
        insta::assert_snapshot!(in_words(&findings()));
    }

    #[test]
    fn the_json_that_the_desktop_reads_stays_as_it_is() {
        insta::assert_json_snapshot!(findings());
    }
}
