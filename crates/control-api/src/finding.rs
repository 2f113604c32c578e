//! Findings of the doctor: results of its checks.

use serde::{Deserialize, Serialize};
use slipway_problem::{Action, Problem, known_actions};
use slipway_profile::Method;

use crate::range::RangeFacts;

/// Result of one check. `slipway doctor --json` prints an array of these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Finding {
    /// The check.
    pub check: Check,
    /// The verdict.
    pub verdict: Verdict,
    /// The result, in a sentence.
    pub detail: String,
    /// What the user can do; `null` if nothing has to be done.
    pub remedy: Option<String>,
    /// The code of the problem with which a session would fail, or which a session reports, if there is one.
    pub code: Option<String>,
    /// The remedies that a program can offer as buttons; often empty.
    #[serde(default, deserialize_with = "known_actions")]
    pub actions: Vec<Action>,
    /// The methods that it concerns, among those that were checked.
    #[serde(default)]
    pub methods: Vec<Method>,
    /// The facts behind the result, for checks that have some.
    #[serde(default)]
    pub data: Option<FindingData>,
}

/// Facts behind a finding, by check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum FindingData {
    /// Of the check `range`.
    Range(RangeFacts),
    /// Facts that this version does not know.
    #[serde(other)]
    Unknown,
}

/// Checks of the doctor, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names say it")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Check {
    Kernel,
    Tun,
    Helper,
    Resolver,
    Method,
    Kubeconfig,
    ApiServer,
    Namespace,
    Permission,
    Range,
    Session,
    Secret,
    /// A check of a newer version.
    #[serde(other)]
    Unknown,
}

/// Verdict of a check, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Verdict {
    /// The check passed, or found nothing that the user has to do; the detail says what is not known.
    Ok,
    /// A session is possible, but lacks something.
    Warn,
    /// No session is possible, or one that runs reaches nothing.
    Fail,
}

impl Finding {
    /// A passed check.
    pub fn ok(check: Check, detail: impl Into<String>) -> Self {
        Self {
            check,
            verdict: Verdict::Ok,
            detail: detail.into(),
            remedy: None,
            code: None,
            actions: Vec::new(),
            methods: Vec::new(),
            data: None,
        }
    }

    /// A warning: a session is possible, but lacks something.
    pub fn warn(check: Check, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            check,
            verdict: Verdict::Warn,
            detail: detail.into(),
            remedy: Some(remedy.into()),
            code: None,
            actions: Vec::new(),
            methods: Vec::new(),
            data: None,
        }
    }

    /// A failed check, which prevents a session.
    pub fn fail(check: Check, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Fail,
            ..Self::warn(check, detail, remedy)
        }
    }

    /// A failed check with the texts, code and actions of the problem with which a session would fail.
    pub fn problem(check: Check, problem: Problem) -> Self {
        Self {
            actions: problem.actions,
            ..Self::fail(check, problem.cause, problem.remedy).coded(problem.code)
        }
    }

    /// A warning with the texts, code and actions of a problem with which a session goes on.
    pub fn warning(check: Check, problem: Problem) -> Self {
        Self {
            verdict: Verdict::Warn,
            ..Self::problem(check, problem)
        }
    }

    /// Adds the facts behind the result.
    pub fn with_data(self, data: FindingData) -> Self {
        Self {
            data: Some(data),
            ..self
        }
    }

    /// Sets the code of a problem.
    pub fn coded(self, code: impl Into<String>) -> Self {
        Self {
            code: Some(code.into()),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_has_the_actions_of_its_problem() {
        let action = Action::Run {
            command: "slipway doctor".into(),
        };
        let problem = Problem::new("x", "It broke.", "Mend it.").with_actions([action.clone()]);
        let finding = Finding::problem(Check::Helper, problem);
        assert_eq!(finding.actions, [action]);
        let json = serde_json::to_value(&finding).unwrap();
        assert_eq!(serde_json::from_value::<Finding>(json).unwrap(), finding);
    }

    #[test]
    fn a_newer_finding_is_read() {
        let text = r#"{"check":"wormhole","verdict":"ok","detail":"Open.","remedy":null,"code":null,
            "actions":[{"do":"fly"}],"data":{"kind":"wormhole","length":7}}"#;
        let finding: Finding = serde_json::from_str(text).unwrap();
        assert_eq!(finding.data, Some(FindingData::Unknown));
        assert_eq!((finding.check, finding.actions), (Check::Unknown, Vec::new()));
    }
}
