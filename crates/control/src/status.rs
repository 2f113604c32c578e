//! What a session says about itself.

use std::fmt;
use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use slipway_profile::Method;

use crate::folder::SessionId;
use crate::message::Problem;

/// Everything a session says about itself at one moment. The form of `slipway status --json`: fields are
/// added, never renamed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionStatus {
    /// The session, as named by commands and by its socket.
    pub id: SessionId,
    /// Its process.
    pub pid: u32,
    /// The profile it was started from, if any.
    pub profile: Option<String>,
    /// How programs on the laptop are caught.
    pub method: Method,
    /// The kubeconfig context; absent until it is known.
    pub context: Option<String>,
    /// The namespace; absent until it is known.
    pub namespace: Option<String>,
    /// Where in its life it is.
    pub state: State,
    /// When it entered that state.
    pub since: Timestamp,
    /// What is wrong, and what to do about it. In [`State::Ended`]: why it ended, if not because it was asked
    /// to.
    #[serde(default)]
    pub problem: Option<Problem>,
    /// How the connection does; absent until it was measured.
    #[serde(default)]
    pub health: Option<Health>,
    /// What is being done right now, while connecting, in words for people.
    #[serde(default)]
    pub step: Option<String>,
    /// Where the agent is.
    #[serde(default)]
    pub agent: Option<AgentInfo>,
    /// The ranges that go to the cluster, in CIDR form.
    #[serde(default)]
    pub routes: Vec<String>,
    /// How the laptop's names reach us, in words for people.
    #[serde(default)]
    pub dns: Option<String>,
    /// Where the session answers questions about names, for those who ask it themselves.
    #[serde(default)]
    pub resolver: Option<IpAddr>,
    /// How packets become connections: `private-namespace`, or `rewriting` where the kernel refuses that.
    #[serde(default)]
    pub capture: Option<String>,
}

impl SessionStatus {
    /// A session of this process that begins now.
    pub fn preparing(id: SessionId, profile: Option<String>, method: Method) -> Self {
        Self {
            id,
            pid: std::process::id(),
            profile,
            method,
            context: None,
            namespace: None,
            state: State::Preparing,
            since: Timestamp::now(),
            problem: None,
            health: None,
            step: None,
            agent: None,
            routes: Vec::new(),
            dns: None,
            resolver: None,
            capture: None,
        }
    }

    /// The word that people are shown for this session.
    pub fn word(&self) -> Word {
        match (self.state, &self.problem) {
            (State::Ended, None) => Word::NotConnected,
            (State::Ended | State::Preparing | State::Placing | State::Connecting, Some(_)) => Word::NeedsYou,
            (State::Preparing | State::Placing | State::Connecting, None) => Word::Connecting,
            (State::Connected, _) => Word::Connected,
            (State::Reconnecting, _) => Word::Reconnecting,
            (State::Ending, _) => Word::Disconnecting,
        }
    }

    /// What the session is called where people read: its profile, else its context, else its id.
    pub fn title(&self) -> &str {
        self.profile
            .as_deref()
            .or(self.context.as_deref())
            .unwrap_or_else(|| self.id.as_str())
    }
}

/// Where in its life a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Reads the kubeconfig, checks permissions.
    Preparing,
    /// Puts the agent into the cluster, or finds the one it had.
    Placing,
    /// Opens carriers, routes and names.
    Connecting,
    /// Programs reach the cluster.
    Connected,
    /// The way to the cluster is gone; open connections are kept.
    Reconnecting,
    /// Takes everything away again.
    Ending,
    /// Over; the socket goes next.
    Ended,
}

impl State {
    /// The word for it in JSON and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Preparing => "preparing",
            Self::Placing => "placing",
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Reconnecting => "reconnecting",
            Self::Ending => "ending",
            Self::Ended => "ended",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What people are shown of a state; several states share a word, because the difference helps nobody who
/// only wants to work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the words say it")]
pub enum Word {
    NotConnected,
    Connecting,
    Connected,
    Reconnecting,
    NeedsYou,
    Disconnecting,
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotConnected => "Not connected",
            Self::Connecting => "Connecting",
            Self::Connected => "Connected",
            Self::Reconnecting => "Reconnecting",
            Self::NeedsYou => "Needs you",
            Self::Disconnecting => "Disconnecting",
        })
    }
}

/// How the connection to the agent does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
        SessionStatus::preparing(id, Some("staging".into()), Method::VpnTcp)
    }

    #[test]
    fn scripts_find_the_fields_they_rely_on() {
        let json = serde_json::to_value(status()).unwrap();
        for field in ["id", "pid", "profile", "method", "context", "namespace", "state"] {
            assert!(json.get(field).is_some(), "{field} is missing in {json}");
        }
        assert_eq!(json["state"], "preparing");
        assert_eq!(json["method"], "vpn-tcp");
        assert_eq!(json["id"], "staging-a1b2c3");
    }

    #[test]
    fn a_state_is_the_same_word_in_json_and_in_text() {
        use State::*;
        for state in [
            Preparing,
            Placing,
            Connecting,
            Connected,
            Reconnecting,
            Ending,
            Ended,
        ] {
            assert_eq!(serde_json::to_value(state).unwrap(), state.to_string());
        }
    }

    #[test]
    fn fields_of_a_newer_session_do_not_hide_it() {
        let status = status();
        let mut json = serde_json::to_value(&status).unwrap();
        json.as_object_mut().unwrap().insert("wormholes".into(), 3.into());
        json.as_object_mut().unwrap().remove("routes");
        assert_eq!(serde_json::from_value::<SessionStatus>(json).unwrap(), status);
    }

    #[test]
    fn a_failed_session_needs_its_person_and_an_ended_one_does_not() {
        let mut status = status();
        status.state = State::Ended;
        assert_eq!(status.word().to_string(), "Not connected");
        status.problem = Some(Problem::new("x", "It broke.", "Mend it."));
        assert_eq!(status.word().to_string(), "Needs you");
    }
}
