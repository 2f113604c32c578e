//! Names that programs asked for, with their answers.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use slipway_problem::Problem;

/// One name that a program asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NameEvent {
    /// When the answer was given.
    #[cfg_attr(feature = "schema", schemars(with = "String", extend("format" = "date-time")))]
    pub at: Timestamp,
    /// The name as asked.
    pub name: String,
    /// The record type, as in `AAAA`.
    pub kind: String,
    /// The answer: addresses or other data; empty if there was none.
    #[serde(default)]
    pub answer: Vec<String>,
    /// Who answered.
    pub answered_by: Answerer,
    /// The program that asked; `null` if it is not known, because it belongs to another user or had ended.
    #[serde(default)]
    pub asked_by: Option<Asker>,
    /// How long it took, in milliseconds.
    pub took_ms: u32,
    /// Why there is no answer.
    #[serde(default)]
    pub problem: Option<Problem>,
}

/// Program that asked for a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Asker {
    /// The name of its process: at most 15 bytes, chosen by the program.
    pub program: String,
    /// Its process id.
    pub pid: u32,
}

/// Source of an answer for a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Answerer {
    /// The cluster's DNS, through the agent.
    Cluster,
    /// The laptop's own name servers.
    Laptop,
    /// No source: the name does not exist, or no answer came.
    Nobody,
}
