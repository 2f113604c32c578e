//! Text of findings.

use slipway_control_api::{Check, Finding, Verdict};

/// Formats each finding as a line, with its remedy below.
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
    fn each_remedy_stands_below_its_finding() {
        insta::assert_snapshot!(in_words(&findings()));
    }

    #[test]
    fn findings_keep_their_form_as_json() {
        insta::assert_json_snapshot!(findings());
    }
}
