//! Messages of the control socket: one line of JSON each.

use serde::{Deserialize, Serialize};
use slipway_problem::Problem;

use crate::explanation::Explanation;
use crate::name::NameEvent;
use crate::session_id::SessionId;
use crate::status::SessionStatus;

/// The version of the messages. A client and a session of different versions do not talk.
pub const PROTOCOL_VERSION: u32 = 2;

/// The first line of every connection, from the session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Greeting {
    /// [`PROTOCOL_VERSION`] of the session.
    pub slipway_control: u32,
    /// Which session this is.
    pub id: SessionId,
}

/// A client's request. A client sends the next one after the last reply to the one before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Request {
    /// One [`Reply::Status`].
    Status,
    /// [`Reply::Status`] now and at every change, and what else the subscription names, until either side closes.
    Watch(Subscription),
    /// Begin to end; one [`Reply::Done`] when that is begun.
    Disconnect,
    /// Why a name answers as it does: one [`Reply::Explanation`].
    Explain {
        /// The name as a program would ask for it.
        name: String,
    },
    /// The answer to a DNS question of another session, if this session's cluster has the name: one [`Reply::Answer`].
    Answer {
        /// The DNS message, in hexadecimal digits.
        query: String,
    },
    /// [`Reply::Name`] for every name that is kept; then [`Reply::Done`], or with `follow` every new one until either
    /// side closes.
    Names {
        /// Whether only those that had no answer.
        failed: bool,
        /// Whether to go on.
        follow: bool,
    },
    /// [`Reply::Log`] for every line that is kept; then [`Reply::Done`], or with `follow` every new line
    /// until either side closes.
    Logs {
        /// Whether to go on.
        follow: bool,
    },
}

/// What a watch brings besides changes of the status. By default nothing, so that a watcher which only shows states is
/// left asleep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// Which names bring a [`Reply::Name`].
    #[serde(default)]
    pub names: WatchedNames,
    /// Whether the status has its `health`, which changes every second.
    #[serde(default)]
    pub figures: bool,
}

/// Which of the names that programs ask for are watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WatchedNames {
    /// None.
    #[default]
    None,
    /// Those that had no answer.
    Failed,
    /// All of them.
    All,
}

/// A session's reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", content = "value", rename_all = "kebab-case")]
pub enum Reply {
    /// What the session says about itself.
    Status(Box<SessionStatus>),
    /// A name was asked for.
    Name(Box<NameEvent>),
    /// So many names or log lines were left out, because the client reads too slowly.
    Missed(u64),
    /// Why a name answers as it does.
    Explanation(Explanation),
    /// A DNS message in hexadecimal digits, or nothing where the session has not got the name.
    Answer(Option<String>),
    /// One line of the log.
    Log(String),
    /// There is no more to this reply.
    Done,
    /// The request failed.
    Error(Problem),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_keep_their_form() {
        let text = |request: &Request| serde_json::to_string(request).unwrap();
        assert_eq!(text(&Request::Status), r#"{"do":"status"}"#);
        assert_eq!(
            text(&Request::Explain {
                name: "orders".into()
            }),
            r#"{"do":"explain","name":"orders"}"#
        );
        assert_eq!(
            text(&Request::Logs { follow: true }),
            r#"{"do":"logs","follow":true}"#
        );
        let subscription = Subscription {
            names: WatchedNames::Failed,
            figures: true,
        };
        assert_eq!(
            text(&Request::Watch(subscription)),
            r#"{"do":"watch","names":"failed","figures":true}"#
        );
        let plain: Request = serde_json::from_str(r#"{"do":"watch"}"#).unwrap();
        assert_eq!(plain, Request::Watch(Subscription::default()));
    }

    #[test]
    fn replies_keep_their_form() {
        let text = |reply: &Reply| serde_json::to_string(reply).unwrap();
        assert_eq!(text(&Reply::Done), r#"{"reply":"done"}"#);
        assert_eq!(
            text(&Reply::Error(Problem::new("a", "B.", "C."))),
            r#"{"reply":"error","value":{"code":"a","cause":"B.","remedy":"C.","actions":[]}}"#
        );
    }
}
