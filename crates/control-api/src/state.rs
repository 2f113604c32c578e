//! States of a session, and the words that people are shown for them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where in its life a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
