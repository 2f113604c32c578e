//! Status of a session at one moment.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use slipway_problem::Problem;
use slipway_profile::{Extras, Method, ProfileId};

use crate::capture::CaptureStatus;
use crate::session_id::SessionId;
use crate::state::{State, Word};

/// Code of the problem that tells what a running credential plugin says to the user.
pub const LOGIN_WAITS: &str = "login-waits";

/// Codes of problems that end when the user logs in.
const LOGIN_CODES: [&str; 3] = [LOGIN_WAITS, "credentials-refused", "credential-plugin"];

/// Beginnings of the codes of problems with a profile's token, which the user mends as well.
const SECRET_CODES: [&str; 2] = ["keyring-", "secret-"];

/// Status of a session at one moment. `slipway status --json` prints an array of these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SessionStatus {
    /// The session's id, for commands and in the name of its socket.
    pub id: SessionId,
    /// Its process id.
    pub pid: u32,
    /// The profile that it was started with, if any.
    pub profile: Option<String>,
    /// The identity of that profile, which a new name does not change.
    #[serde(default)]
    pub profile_id: Option<ProfileId>,
    /// How programs on the laptop are captured.
    pub method: Method,
    /// The value of `KUBECONFIG` with which another program reads the same kubeconfig; `null` if there is none.
    #[serde(default)]
    pub kubeconfig: Option<String>,
    /// The kubeconfig context; `null` until it is known.
    pub context: Option<String>,
    /// The namespace; `null` until it is known.
    pub namespace: Option<String>,
    /// Its state.
    pub state: State,
    /// When the session began. It never changes, and orders sessions by age.
    #[cfg_attr(feature = "schema", schemars(with = "String", extend("format" = "date-time")))]
    pub started: Timestamp,
    /// When it entered its state.
    #[cfg_attr(feature = "schema", schemars(with = "String", extend("format" = "date-time")))]
    pub since: Timestamp,
    /// When it ends by itself, by the profile's `disconnect-after`; `null` if it does not, and until it is connected.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>", extend("format" = "date-time")))]
    pub ends: Option<Timestamp>,
    /// Why it entered its state, if something went wrong; it may become known later than the state.
    #[serde(default)]
    pub cause: Option<String>,
    /// Present problems of a session that continues.
    #[serde(default)]
    pub problems: Vec<Problem>,
    /// Why it ended, unless by request; `null` before that.
    #[serde(default)]
    pub failure: Option<Problem>,
    /// Measurements of the connection; `null` until there are any.
    #[serde(default)]
    pub health: Option<Health>,
    /// The present step while connecting, as text for users.
    #[serde(default)]
    pub step: Option<String>,
    /// The agent; `null` until there is one.
    #[serde(default)]
    pub agent: Option<AgentInfo>,
    /// How programs are captured; `null` until they are.
    #[serde(default)]
    pub capture: Option<CaptureStatus>,
    /// What the user sends to the cluster in addition, by the profile, the command line and later changes.
    #[serde(default)]
    pub extras: Extras,
    /// Agents that were lost within the last hour, the newest last.
    #[serde(default)]
    pub losses: Vec<AgentLoss>,
}

impl SessionStatus {
    /// The status of a session that begins at `started`, in the process `pid`.
    pub fn preparing(
        id: SessionId,
        profile: Option<String>,
        method: Method,
        pid: u32,
        started: Timestamp,
    ) -> Self {
        Self {
            id,
            pid,
            profile,
            profile_id: None,
            method,
            kubeconfig: None,
            context: None,
            namespace: None,
            state: State::Preparing,
            started,
            since: started,
            ends: None,
            cause: None,
            problems: Vec::new(),
            failure: None,
            health: None,
            step: None,
            agent: None,
            capture: None,
            extras: Extras::default(),
            losses: Vec::new(),
        }
    }

    /// Returns the word for this session's state.
    pub fn word(&self) -> Word {
        let is_well = self.failure.is_none() && self.problems.is_empty();
        match self.state {
            State::Preparing | State::Placing | State::Connecting if is_well => Word::Connecting,
            State::Ended if is_well => Word::NotConnected,
            State::Preparing | State::Placing | State::Connecting | State::Ended => Word::NeedsYou,
            State::Connected => Word::Connected,
            State::Reconnecting if self.waits_for_login() => Word::NeedsYou,
            State::Reconnecting => Word::Reconnecting,
            State::Ending => Word::Disconnecting,
        }
    }

    /// Returns whether the session cannot go on before the user logs in.
    fn waits_for_login(&self) -> bool {
        let is_login = |Problem { code, .. }: &Problem| {
            LOGIN_CODES.contains(&&**code) || SECRET_CODES.iter().any(|start| code.starts_with(start))
        };
        self.problems.iter().any(is_login)
    }

    /// Returns the session's name for users: its profile, else its context, else its id.
    pub fn title(&self) -> &str {
        self.profile
            .as_deref()
            .or(self.context.as_deref())
            .unwrap_or_else(|| self.id.as_str())
    }

    /// Returns the sort key that orders sessions by age, the oldest first.
    pub fn age_order(&self) -> (Timestamp, SessionId) {
        (self.started, self.id.clone())
    }

    /// Iterates over the failure, then the problems.
    pub fn all_problems(&self) -> impl Iterator<Item = &Problem> {
        self.failure.iter().chain(&self.problems)
    }
}

/// Measurements of the connection to the agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Health {
    /// Round trip to the agent in milliseconds.
    pub rtt_ms: u32,
    /// Bytes of payload to the cluster since the session began.
    pub up_bytes: u64,
    /// Bytes of payload from the cluster since the session began.
    pub down_bytes: u64,
    /// Number of open connections.
    pub open_connections: u32,
}

/// Pod and node of the agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AgentInfo {
    /// Its pod.
    pub pod: String,
    /// The pod's node, once it has one.
    pub node: Option<String>,
}

/// Loss of an agent that served a session, or of its program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AgentLoss {
    /// When the session noticed it.
    #[cfg_attr(feature = "schema", schemars(with = "String", extend("format" = "date-time")))]
    pub at: Timestamp,
    /// Its pod.
    pub pod: String,
    /// How it ended; `null` if the cluster does not say.
    pub end: Option<AgentEnd>,
    /// Number of connections of programs that broke.
    pub broken_connections: u32,
}

/// End of an agent, as the cluster tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum AgentEnd {
    /// The kernel of the node killed it because it used more memory than its limit.
    OutOfMemory {
        /// The limit, as in `128Mi`; `null` if the pod has none.
        limit: Option<String>,
    },
    /// Its program ended.
    Ended {
        /// The exit code.
        exit_code: i32,
        /// `Completed`, `Error`, ...
        reason: String,
    },
    /// The node evicted its pod.
    Evicted {
        /// `Evicted`, `Preempting`, `NodeShutdown`, ...
        reason: String,
        /// The message of the node.
        message: String,
    },
    /// Its pod was deleted.
    Deleted,
    /// An end of a newer version.
    #[serde(other)]
    Unknown,
}

impl fmt::Display for AgentLoss {
    /// Writes what happened as the end of a sentence about the agent.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.end.as_ref().unwrap_or(&AgentEnd::Unknown).fmt(f)
    }
}

impl fmt::Display for AgentEnd {
    /// Writes what happened as the end of a sentence about the agent.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfMemory { limit: Some(limit) } => write!(f, "ran out of memory (limit {limit})"),
            Self::OutOfMemory { limit: None } => f.write_str("ran out of memory"),
            Self::Ended { exit_code, reason } if reason.is_empty() => {
                write!(f, "ended (exit code {exit_code})")
            }
            Self::Ended { exit_code, reason } => write!(f, "ended ({reason}, exit code {exit_code})"),
            Self::Evicted { reason, message } => {
                let told = [reason.as_str(), message.as_str()].into_iter();
                let told: Vec<_> = told.filter(|text| !text.is_empty()).collect();
                write!(f, "was evicted by its node")?;
                if told.is_empty() {
                    Ok(())
                } else {
                    write!(f, " ({})", told.join(": "))
                }
            }
            Self::Deleted => f.write_str("was deleted"),
            Self::Unknown => f.write_str("was lost"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status() -> SessionStatus {
        let id = "staging-a1b2c3".parse().unwrap();
        let started = "2026-03-01T12:00:00Z".parse().unwrap();
        SessionStatus::preparing(id, Some("staging".into()), Method::VpnTcp, 4711, started)
    }

    fn problem() -> Problem {
        Problem::new("x", "It broke.", "Mend it.")
    }

    #[test]
    fn scripts_find_the_fields_they_rely_on() {
        let json = serde_json::to_value(status()).unwrap();
        for field in [
            "id",
            "pid",
            "profile",
            "method",
            "context",
            "namespace",
            "state",
            "started",
            "since",
            "problems",
            "failure",
            "capture",
        ] {
            assert!(json.get(field).is_some(), "{field} is missing in {json}");
        }
        assert_eq!(json["state"], "preparing");
        assert_eq!(json["method"], "vpn-tcp");
        assert_eq!(json["id"], "staging-a1b2c3");
    }

    #[test]
    fn a_status_with_unknown_fields_is_read() {
        let status = status();
        let mut json = serde_json::to_value(&status).unwrap();
        json.as_object_mut().unwrap().insert("wormholes".into(), 3.into());
        json.as_object_mut().unwrap().remove("problems");
        assert_eq!(serde_json::from_value::<SessionStatus>(json).unwrap(), status);
    }

    #[test]
    fn a_status_with_an_unknown_method_is_read() {
        let mut json = serde_json::to_value(status()).unwrap();
        json["capture"] = serde_json::json!({"method": "teleport", "to": "the moon"});
        let read: SessionStatus = serde_json::from_value(json).unwrap();
        assert_eq!(read.capture, Some(CaptureStatus::Unknown));
    }

    #[test]
    fn a_failed_session_needs_its_user() {
        let mut status = status();
        status.state = State::Ended;
        assert_eq!(status.word(), Word::NotConnected);
        status.failure = Some(problem());
        assert_eq!(status.word(), Word::NeedsYou);
    }

    #[test]
    fn a_session_that_waits_for_a_login_needs_its_user() {
        let mut status = status();
        status.state = State::Reconnecting;
        status.problems = vec![problem()];
        assert_eq!(status.word(), Word::Reconnecting);
        for code in ["credentials-refused", "keyring-locked", "secret-file"] {
            status.problems = vec![Problem::new(code, "It ended.", "Log in.")];
            assert_eq!(status.word(), Word::NeedsYou, "{code}");
        }
    }

    #[test]
    fn a_problem_needs_its_user_until_connected() {
        let mut status = status();
        assert_eq!(status.word(), Word::Connecting);
        status.problems = vec![problem()];
        assert_eq!(status.word(), Word::NeedsYou);
        status.state = State::Connected;
        assert_eq!(status.word(), Word::Connected);
    }
}
