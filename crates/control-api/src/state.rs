//! States of a session, and the words for them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// State of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum State {
    /// Reads the kubeconfig and checks permissions.
    Preparing,
    /// Starts the agent in the cluster, or finds its running one.
    Placing,
    /// Opens the carriers, and sets up routes and DNS.
    Connecting,
    /// Programs reach the cluster.
    Connected,
    /// The connection to the cluster is lost; programs' open connections are kept.
    Reconnecting,
    /// Removes everything that it set up.
    Ending,
    /// Has ended; its socket is about to be removed.
    Ended,
}

impl State {
    /// Returns its name in JSON and logs.
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

/// Word for a state, for users. Several states share a word, because users do not need the difference.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_one_word_in_json_and_text() {
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
}
