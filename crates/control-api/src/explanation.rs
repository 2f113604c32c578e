//! Explanation of a name: who answers for it and why.

use serde::{Deserialize, Serialize};

use crate::name::Answerer;
use crate::session_id::SessionId;

/// Why a name answers as it does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Explanation {
    /// The name as asked.
    pub name: String,
    /// Who answers for it.
    pub answered_by: Answerer,
    /// The addresses it resolves to; empty where there are none.
    #[serde(default)]
    pub answer: Vec<String>,
    /// Why, in a sentence.
    pub cause: String,
    /// What would change it, in a sentence, if something would.
    #[serde(default)]
    pub remedy: Option<String>,
    /// What was looked at, in order, a line each.
    #[serde(default)]
    pub steps: Vec<String>,
}

/// An explanation and the session that gave it. The form of `slipway explain --json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Explained {
    /// The session whose answer counts.
    pub session: SessionId,
    /// Its explanation.
    #[serde(flatten)]
    pub explanation: Explanation,
}
