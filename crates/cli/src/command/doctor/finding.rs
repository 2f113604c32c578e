//! What a check found.

use serde::Serialize;
use slipway_control::Problem;

/// One thing that was looked at. The form of `slipway doctor --json`: fields are added, never renamed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// What kind of thing.
    pub(super) check: Check,
    /// How it is.
    pub(super) verdict: Verdict,
    /// What was found, in a sentence.
    pub(super) detail: String,
    /// What to do about it; of a good thing there is none.
    pub(super) remedy: Option<String>,
    /// The word for scripts by which a session fails of it, if there is one.
    pub(super) code: Option<String>,
}

/// What is looked at, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Check {
    Kernel,
    Tun,
    Helper,
    Resolver,
    Method,
    Kubeconfig,
    ApiServer,
    Permission,
    Range,
}

/// How it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Verdict {
    /// Good.
    Ok,
    /// A session is possible, something in it is not.
    Warn,
    /// No session is possible.
    Fail,
}

impl Finding {
    pub(super) fn ok(check: Check, detail: impl Into<String>) -> Finding {
        Finding {
            check,
            verdict: Verdict::Ok,
            detail: detail.into(),
            remedy: None,
            code: None,
        }
    }

    pub(super) fn warn(check: Check, detail: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding {
            check,
            verdict: Verdict::Warn,
            detail: detail.into(),
            remedy: Some(remedy.into()),
            code: None,
        }
    }

    pub(super) fn fail(check: Check, detail: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding {
            verdict: Verdict::Fail,
            ..Finding::warn(check, detail, remedy)
        }
    }

    /// What a session would fail of, in the same words.
    pub(super) fn problem(check: Check, problem: Problem) -> Finding {
        let Problem { code, cause, remedy } = problem;
        Finding::fail(check, cause, remedy).coded(code)
    }

    pub(super) fn coded(self, code: impl Into<String>) -> Finding {
        Finding {
            code: Some(code.into()),
            ..self
        }
    }
}

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
