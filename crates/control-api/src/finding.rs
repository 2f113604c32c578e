//! Findings of the doctor: one for each check.

use serde::{Deserialize, Serialize};
use slipway_problem::Problem;

/// The result of one check. The form of `slipway doctor --json` is an array of these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Finding {
    /// What was checked.
    pub check: Check,
    /// How it is.
    pub verdict: Verdict,
    /// What was found, in a sentence.
    pub detail: String,
    /// What to do about it; `null` where nothing is to be done.
    pub remedy: Option<String>,
    /// The code of the problem by which a session would fail, if there is one.
    pub code: Option<String>,
}

/// What the doctor checks, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    Permission,
    Range,
    /// A check of a newer version.
    #[serde(other)]
    Unknown,
}

/// How something is that was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Verdict {
    /// Good.
    Ok,
    /// A session is possible, something in it is not.
    Warn,
    /// No session is possible.
    Fail,
}

impl Finding {
    /// Something good.
    pub fn ok(check: Check, detail: impl Into<String>) -> Self {
        Self {
            check,
            verdict: Verdict::Ok,
            detail: detail.into(),
            remedy: None,
            code: None,
        }
    }

    /// Something that a session would have to do without.
    pub fn warn(check: Check, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            check,
            verdict: Verdict::Warn,
            detail: detail.into(),
            remedy: Some(remedy.into()),
            code: None,
        }
    }

    /// Something that keeps a session from connecting.
    pub fn fail(check: Check, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Fail,
            ..Self::warn(check, detail, remedy)
        }
    }

    /// The problem by which a session would fail, in the same words.
    pub fn problem(check: Check, problem: Problem) -> Self {
        Self::fail(check, problem.cause, problem.remedy).coded(problem.code)
    }

    /// The finding with a problem's code.
    pub fn coded(self, code: impl Into<String>) -> Self {
        Self {
            code: Some(code.into()),
            ..self
        }
    }
}
