//! Events of a check: its steps, their findings as they come, and a summary.

use serde::{Deserialize, Serialize};
use slipway_problem::Problem;
use slipway_profile::Method;

use crate::finding::{Check, Finding, Verdict};
use crate::range::Layout;

/// One line of `slipway doctor --json-lines`.
///
/// The first line has all steps, the last one the summary, or why nothing was checked. A newer program may write other
/// events; a reader skips lines that it cannot parse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", content = "value", rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum CheckEvent {
    /// What will be checked. This is the first line.
    Steps(Steps),
    /// A step began, ended or is left out.
    Step(Step),
    /// A result. Findings of steps that run side by side come in any order.
    Finding(Finding),
    /// The laptop's routes, for the ranges among the findings.
    Layout(Layout),
    /// The verdict. This is the last line.
    Summary(CheckSummary),
    /// Nothing was checked, because the arguments or the profile are wrong. This is the only line.
    Failed(Problem),
}

/// What a check consists of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Steps {
    /// The methods that are checked.
    pub methods: Vec<Method>,
    /// The steps, in the order in which they are shown. Steps that do not depend on each other run side by side.
    pub steps: Vec<Check>,
}

/// A change of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Step {
    /// The step.
    pub check: Check,
    /// Its state.
    pub state: StepState,
    /// How long it took, in milliseconds; `null` until it has ended.
    pub took_ms: Option<u64>,
}

/// State of a step. It has none before it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum StepState {
    /// It runs.
    Begun,
    /// It has ended. It may have no finding, if there was nothing to check.
    Ended,
    /// It does not run, because a step on which it depends has failed.
    LeftOut,
    /// A state that this version does not know.
    #[serde(other)]
    Unknown,
}

/// Result of a whole check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CheckSummary {
    /// The worst verdict of all findings.
    pub verdict: Verdict,
    /// The result for each method that was checked.
    pub methods: Vec<MethodSummary>,
    /// How long the check took, in milliseconds.
    pub took_ms: u64,
}

/// Result of a check for one method.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MethodSummary {
    /// The method.
    pub method: Method,
    /// Whether no check of what it needs has failed.
    pub works: bool,
    /// The first failed finding, in a sentence; `null` if it works.
    pub reason: Option<String>,
    /// The code of that finding, if it has one.
    pub code: Option<String>,
}

impl CheckSummary {
    /// Returns the result of these findings, in the order of their steps.
    #[must_use]
    pub fn of(methods: &[Method], findings: &[Finding], took_ms: u64) -> Self {
        let worst = findings
            .iter()
            .map(|finding| finding.verdict)
            .max()
            .unwrap_or(Verdict::Ok);
        let of_method = |method: &Method| {
            let failed = findings
                .iter()
                .find(|finding| finding.verdict == Verdict::Fail && finding.methods.contains(method));
            MethodSummary {
                method: *method,
                works: failed.is_none(),
                reason: failed.map(|finding| finding.detail.clone()),
                code: failed.and_then(|finding| finding.code.clone()),
            }
        };
        Self {
            verdict: worst,
            methods: methods.iter().map(of_method).collect(),
            took_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_keep_their_form() {
        let text = |event: &CheckEvent| serde_json::to_string(event).unwrap();
        let step = Step {
            check: Check::ApiServer,
            state: StepState::LeftOut,
            took_ms: None,
        };
        assert_eq!(
            text(&CheckEvent::Step(step)),
            r#"{"event":"step","value":{"check":"api-server","state":"left-out","took_ms":null}}"#
        );
        let steps = Steps {
            methods: vec![Method::VpnTcp],
            steps: vec![Check::Kernel, Check::Tun],
        };
        assert_eq!(
            text(&CheckEvent::Steps(steps)),
            r#"{"event":"steps","value":{"methods":["vpn-tcp"],"steps":["kernel","tun"]}}"#
        );
    }

    #[test]
    fn a_method_works_if_none_of_its_checks_failed() {
        let of = |finding: Finding, method| Finding {
            methods: vec![method],
            ..finding
        };
        let findings = [
            of(Finding::warn(Check::Kernel, "Slow.", "Wait."), Method::VpnTcp),
            of(
                Finding::fail(Check::Method, "Not yet.", "Use another.").coded("method-not-yet"),
                Method::Container,
            ),
        ];
        let both = [Method::VpnTcp, Method::Container];
        let summary = CheckSummary::of(&both, &findings, 7);
        assert_eq!(summary.verdict, Verdict::Fail);
        let works: Vec<bool> = summary.methods.iter().map(|method| method.works).collect();
        assert_eq!(works, [true, false]);
        assert_eq!(summary.methods[1].code.as_deref(), Some("method-not-yet"));
        assert_eq!(CheckSummary::of(&both, &[], 0).verdict, Verdict::Ok);
    }
}
