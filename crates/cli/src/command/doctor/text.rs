//! Text of findings.

use slipway_control_api::{Check, Finding, MethodSummary, Verdict};

/// Formats each finding as a line, with its remedy below. Findings of one check that are all fine are one line.
pub(super) fn in_words(findings: &[Finding]) -> String {
    let mut text = String::new();
    for of_check in findings.chunk_by(|one, next| one.check == next.check) {
        let (fine, others): (Vec<&Finding>, Vec<&Finding>) = of_check
            .iter()
            .partition(|finding| finding.verdict == Verdict::Ok);
        match (&fine[..], of_check) {
            // The names of many permissions would hide the rest.
            (
                [_, _, ..],
                [
                    Finding {
                        check: Check::Permission,
                        ..
                    },
                    ..,
                ],
            ) => {
                let count = fine.len();
                let all = if others.is_empty() { "all " } else { "" };
                line(
                    &mut text,
                    Verdict::Ok,
                    Check::Permission,
                    &format!("You have {all}{count} permissions that Slipway uses."),
                );
                others.into_iter().for_each(|finding| whole(&mut text, finding));
            }
            ([first, _, ..], _) if others.is_empty() => {
                let sentences: Vec<&str> = fine.iter().map(|finding| finding.detail.as_str()).collect();
                line(&mut text, Verdict::Ok, first.check, &sentences.join(" "));
            }
            (_, _) => of_check.iter().for_each(|finding| whole(&mut text, finding)),
        }
    }
    text
}

/// Formats a line for each method: whether it works here, or why not.
pub(super) fn methods_in_words(methods: &[MethodSummary]) -> String {
    let mut text = String::new();
    for method in methods {
        let verdict = match &method.reason {
            None => "works here",
            Some(reason) => &format!("does not work here: {reason}"),
        };
        text.push_str(&format!("{:<11} {verdict}\n", method.method.as_str()));
    }
    text
}

fn whole(text: &mut String, finding: &Finding) {
    line(text, finding.verdict, finding.check, &finding.detail);
    for line in finding.remedy.iter().flat_map(|remedy| remedy.lines()) {
        text.push_str(format!("{:18}{line}", "").trim_end());
        text.push('\n');
    }
}

fn line(text: &mut String, verdict: Verdict, check: Check, detail: &str) {
    let verdict = match verdict {
        Verdict::Ok => "ok",
        Verdict::Warn => "warn",
        Verdict::Fail => "FAIL",
    };
    let check = match check {
        Check::Kernel => "kernel",
        Check::Tun => "TUN",
        Check::Helper => "helper",
        Check::Resolver => "resolver",
        Check::Method => "method",
        Check::Kubeconfig => "kubeconfig",
        Check::ApiServer => "API server",
        Check::Namespace => "namespace",
        Check::Permission => "permission",
        Check::Range => "range",
        Check::Session => "session",
        Check::Secret => "secret",
        Check::Unknown => "other",
    };
    text.push_str(&format!("{verdict:4}  {check:10}  {detail}\n"));
}

#[cfg(test)]
mod tests {
    use slipway_profile::Method;

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
    fn findings_that_are_all_fine_are_one_line() {
        let may = |access: &str| Finding::ok(Check::Permission, format!("You may {access}."));
        let mut findings = vec![
            Finding::ok(Check::Helper, "slipway-helper 1 serves you."),
            Finding::ok(Check::Helper, "The laptop's name servers: 192.0.2.1."),
            may("create jobs"),
            may("list pods"),
        ];
        assert_eq!(
            in_words(&findings),
            "ok    helper      slipway-helper 1 serves you. The laptop's name servers: 192.0.2.1.\n\
             ok    permission  You have all 2 permissions that Slipway uses.\n"
        );
        findings.push(Finding::warn(
            Check::Permission,
            "You may not list nodes.",
            "Not needed.",
        ));
        let text = in_words(&findings);
        let permissions = "ok    permission  You have 2 permissions that Slipway uses.\nwarn  permission  You may not list nodes.";
        assert!(text.contains(permissions), "{text}");
    }

    #[test]
    fn each_method_has_a_line_at_the_end() {
        let method = |method, reason: Option<&str>| MethodSummary {
            method,
            works: reason.is_none(),
            reason: reason.map(str::to_owned),
            code: None,
        };
        let methods = [
            method(Method::VpnTcp, None),
            method(Method::InjectTcp, Some("It is not there.")),
        ];
        assert_eq!(
            methods_in_words(&methods),
            "vpn-tcp     works here\ninject-tcp  does not work here: It is not there.\n"
        );
    }

    #[test]
    fn findings_keep_their_form_as_json() {
        insta::assert_json_snapshot!(findings());
    }
}
