//! History: the last hour of a session.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::session_id::SessionId;
use crate::state::State;

/// The last hour of one of several sessions. `slipway status --history --json` prints an array of these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SessionHistory {
    /// The session.
    pub id: SessionId,
    /// Its name for users.
    pub title: String,
    /// Its last hour.
    #[serde(flatten)]
    pub history: History,
}

/// The last hour of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct History {
    /// Changes of the session's state and problems, the oldest first.
    #[serde(default)]
    pub events: Vec<HistoryEvent>,
    /// The last hour, one entry for each minute in which the session ran, the oldest first.
    #[serde(default)]
    pub minutes: Vec<Minute>,
    /// The last five minutes, one entry for each second in which something was measured, the oldest first.
    #[serde(default)]
    pub seconds: Vec<Second>,
}

/// Change of a session's state or problems.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HistoryEvent {
    /// When it happened.
    #[cfg_attr(feature = "schema", schemars(with = "String", extend("format" = "date-time")))]
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub what: Happening,
}

/// What happened to a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Happening {
    /// It entered a state.
    State {
        /// The state.
        state: State,
        /// Why, if something went wrong.
        cause: Option<String>,
    },
    /// A problem came up.
    Problem {
        /// Its code.
        code: String,
        /// Its cause.
        cause: String,
    },
    /// A problem was withdrawn.
    Withdrawn {
        /// Its code.
        code: String,
    },
    /// Something that a newer version tells.
    #[serde(other)]
    Unknown,
}

/// One minute of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Minute {
    /// When it began.
    #[cfg_attr(feature = "schema", schemars(with = "String", extend("format" = "date-time")))]
    pub at: Timestamp,
    /// Seconds in which the session was connected without a problem.
    pub well: u32,
    /// Seconds in which it was connected with a problem.
    pub degraded: u32,
    /// Seconds in which it was not connected.
    pub away: u32,
    /// The longest round trip to the agent, in milliseconds; `null` if none was measured.
    pub rtt_ms: Option<u32>,
    /// Bytes of payload to the cluster.
    pub up_bytes: u64,
    /// Bytes of payload from the cluster.
    pub down_bytes: u64,
}

/// One second of a connected session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Second {
    /// When it was measured.
    #[cfg_attr(feature = "schema", schemars(with = "String", extend("format" = "date-time")))]
    pub at: Timestamp,
    /// Round trip to the agent in milliseconds.
    pub rtt_ms: u32,
    /// Bytes of payload to the cluster since the measurement before.
    pub up_bytes: u64,
    /// Bytes of payload from the cluster since the measurement before.
    pub down_bytes: u64,
}
