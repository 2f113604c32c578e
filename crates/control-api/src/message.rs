//! Messages of the control socket: one line of JSON each.

use serde::{Deserialize, Serialize};
use slipway_problem::Problem;
use slipway_profile::Change;

use crate::changed::Changed;
use crate::explanation::Explanation;
use crate::history::History;
use crate::name::NameEvent;
use crate::session_id::SessionId;
use crate::status::SessionStatus;

/// Version of the messages. A client and a session must have the same version.
pub const PROTOCOL_VERSION: u32 = 2;

/// The first line of every connection, from the session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Greeting {
    /// [`PROTOCOL_VERSION`] of the session.
    pub slipway_control: u32,
    /// The session's id.
    pub id: SessionId,
}

/// Request of a client. The next one may follow after the last reply to this one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Request {
    /// One [`Reply::Status`].
    Status,
    /// [`Reply::Status`] now and at every change, and the other events of the subscription, until either side closes.
    Watch(Subscription),
    /// End of the session; one [`Reply::Done`] when the end has begun.
    Disconnect,
    /// Explanation of a name: one [`Reply::Explanation`].
    Explain {
        /// The name, as a program asks for it.
        name: String,
    },
    /// Change of what the session sends to the cluster: one [`Reply::Changed`].
    Change {
        /// The change.
        change: Box<Change>,
    },
    /// Note that the client has made a change in the saved profile too, where its undo takes it back: one
    /// [`Reply::Changed`].
    Saved {
        /// The number of the change in the session; without one, the session had it already, and gives a number now.
        #[serde(default)]
        number: Option<u32>,
        /// What changed in the profile.
        profile: Box<Change>,
    },
    /// Undo of a change: one [`Reply::Changed`]. The client takes back what it names for the profile.
    Undo {
        /// The number of the change; without one, the last change that is not undone.
        #[serde(default)]
        number: Option<u32>,
    },
    /// Answer to a DNS question of another session, if this session's cluster has the name: one [`Reply::Answer`].
    Answer {
        /// The DNS message, in hexadecimal digits.
        query: String,
    },
    /// The last hour: one [`Reply::History`].
    History,
    /// [`Reply::Name`] for every name that is kept; then [`Reply::Done`], or with `follow` every new one until either
    /// side closes.
    Names {
        /// Whether to send only names without an answer.
        failed: bool,
        /// Whether to continue with new ones.
        follow: bool,
    },
    /// [`Reply::Log`] for every line that is kept; then [`Reply::Done`], or with `follow` every new line
    /// until either side closes.
    Logs {
        /// Whether to continue with new ones.
        follow: bool,
    },
}

/// Events of a watch in addition to changes of the status. By default none, so that a watcher that shows only states
/// is not woken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// Which names bring a [`Reply::Name`].
    #[serde(default)]
    pub names: WatchedNames,
    /// Whether the status includes its `health`, which changes every second.
    #[serde(default)]
    pub figures: bool,
}

/// Selection of the names that are watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WatchedNames {
    /// None.
    #[default]
    None,
    /// Names without an answer.
    Failed,
    /// All names.
    All,
}

/// Reply of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", content = "value", rename_all = "kebab-case")]
pub enum Reply {
    /// The session's status.
    Status(Box<SessionStatus>),
    /// A name that a program asked for.
    Name(Box<NameEvent>),
    /// This many names or log lines were left out, because the client reads too slowly.
    Missed(u64),
    /// Explanation of a name.
    Explanation(Explanation),
    /// The last hour of the session.
    History(Box<History>),
    /// Outcome of a change.
    Changed(Box<Changed>),
    /// A DNS message in hexadecimal digits; `None` if the session does not have the name.
    Answer(Option<String>),
    /// One line of the log.
    Log(String),
    /// End of the replies to this request.
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
        let change: Request =
            serde_json::from_str(r#"{"do":"change","change":{"add":{"also-proxy":["db.example"]}}}"#)
                .unwrap();
        assert!(matches!(change, Request::Change { change } if change.add.also_proxy.len() == 1));
        assert_eq!(
            text(&Request::Undo { number: Some(3) }),
            r#"{"do":"undo","number":3}"#
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
