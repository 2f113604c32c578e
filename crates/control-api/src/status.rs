//! Status of a session: everything that it says about itself at one moment.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use slipway_problem::Problem;
use slipway_profile::{Method, ProfileId};

use crate::capture::CaptureStatus;
use crate::session_id::SessionId;
use crate::state::{State, Word};

/// Everything that a session says about itself at one moment. The form of `slipway status --json` is an array of these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SessionStatus {
    /// The session, as named by commands and by its socket.
    pub id: SessionId,
    /// Its process.
    pub pid: u32,
    /// The profile it was started from, if any.
    pub profile: Option<String>,
    /// What names that profile also after it was renamed.
    #[serde(default)]
    pub profile_id: Option<ProfileId>,
    /// How programs on the laptop are captured.
    pub method: Method,
    /// The kubeconfig context; `null` until it is known.
    pub context: Option<String>,
    /// The namespace; `null` until it is known.
    pub namespace: Option<String>,
    /// Where in its life it is.
    pub state: State,
    /// When the session began. Never changes: of two sessions, the one that began first is the older one.
    #[cfg_attr(feature = "schema", schemars(with = "String", extend("format" = "date-time")))]
    pub started: Timestamp,
    /// When it entered its state.
    #[cfg_attr(feature = "schema", schemars(with = "String", extend("format" = "date-time")))]
    pub since: Timestamp,
    /// What is wrong now, although the session goes on.
    #[serde(default)]
    pub problems: Vec<Problem>,
    /// Why it ended, if not because it was asked to; `null` before that.
    #[serde(default)]
    pub failure: Option<Problem>,
    /// How the connection does; `null` until it was measured.
    #[serde(default)]
    pub health: Option<Health>,
    /// What is being done right now, while connecting, in words for people.
    #[serde(default)]
    pub step: Option<String>,
    /// Where the agent is; `null` until there is one.
    #[serde(default)]
    pub agent: Option<AgentInfo>,
    /// How programs are captured; `null` until they are.
    #[serde(default)]
    pub capture: Option<CaptureStatus>,
}

impl SessionStatus {
    /// A session that begins at `started`, in the process `pid`.
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
            context: None,
            namespace: None,
            state: State::Preparing,
            started,
            since: started,
            problems: Vec::new(),
            failure: None,
            health: None,
            step: None,
            agent: None,
            capture: None,
        }
    }

    /// The word that people are shown for this session.
    pub fn word(&self) -> Word {
        let is_well = self.failure.is_none() && self.problems.is_empty();
        match self.state {
            State::Preparing | State::Placing | State::Connecting if is_well => Word::Connecting,
            State::Ended if is_well => Word::NotConnected,
            State::Preparing | State::Placing | State::Connecting | State::Ended => Word::NeedsYou,
            State::Connected => Word::Connected,
            State::Reconnecting => Word::Reconnecting,
            State::Ending => Word::Disconnecting,
        }
    }

    /// What the session is called where people read: its profile, else its context, else its id.
    pub fn title(&self) -> &str {
        self.profile
            .as_deref()
            .or(self.context.as_deref())
            .unwrap_or_else(|| self.id.as_str())
    }

    /// The order of sessions by age, the oldest first. For `sort_by_key` and its like.
    pub fn age_order(&self) -> (Timestamp, SessionId) {
        (self.started, self.id.clone())
    }

    /// The failure, then the problems.
    pub fn all_problems(&self) -> impl Iterator<Item = &Problem> {
        self.failure.iter().chain(&self.problems)
    }
}

/// How the connection to the agent does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Health {
    /// Round trip to the agent in milliseconds.
    pub rtt_ms: u32,
    /// Bytes of payload to the cluster since the session began.
    pub up_bytes: u64,
    /// Bytes of payload from the cluster since the session began.
    pub down_bytes: u64,
    /// Connections that are open now.
    pub open_connections: u32,
}

/// Where the agent is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AgentInfo {
    /// Its pod.
    pub pod: String,
    /// The pod's node, once it has one.
    pub node: Option<String>,
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
    fn fields_of_a_newer_session_do_not_hide_it() {
        let status = status();
        let mut json = serde_json::to_value(&status).unwrap();
        json.as_object_mut().unwrap().insert("wormholes".into(), 3.into());
        json.as_object_mut().unwrap().remove("problems");
        assert_eq!(serde_json::from_value::<SessionStatus>(json).unwrap(), status);
    }

    #[test]
    fn a_method_of_a_newer_session_does_not_hide_it() {
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
    fn a_problem_needs_its_user_until_connected() {
        let mut status = status();
        assert_eq!(status.word(), Word::Connecting);
        status.problems = vec![problem()];
        assert_eq!(status.word(), Word::NeedsYou);
        status.state = State::Connected;
        assert_eq!(status.word(), Word::Connected);
    }
}
