//! What goes over the socket, a line each.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::folder::SessionId;
use crate::status::SessionStatus;

/// The version of the messages. A client and a session of different versions do not talk.
pub const PROTOCOL_VERSION: u32 = 1;

/// Longest cause of a problem, in bytes. It may hold words of an API server, to which there is no limit.
const MAX_CAUSE: usize = 2 * 1024;

/// The first line of every connection, from the session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Greeting {
    /// [`PROTOCOL_VERSION`] of the session.
    pub slipway_control: u32,
    /// Which session this is.
    pub id: SessionId,
}

/// What a client asks. One at a time; the next after the last reply to the one before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Request {
    /// One [`Reply::Status`].
    Status,
    /// [`Reply::Status`] now and at every change, [`Reply::Name`] for every name, until either side closes.
    Watch,
    /// Begin to end; one [`Reply::Done`] when that is begun.
    Disconnect,
    /// Why a name answers as it does: one [`Reply::Explanation`].
    Explain {
        /// The name as a program would ask for it.
        name: String,
    },
    /// [`Reply::Log`] for every line that is kept; then [`Reply::Done`], or with `follow` every new line
    /// until either side closes.
    Logs {
        /// Whether to go on.
        follow: bool,
    },
}

/// What the session replies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", content = "value", rename_all = "kebab-case")]
pub enum Reply {
    /// What the session says about itself.
    Status(Box<SessionStatus>),
    /// A name was asked for.
    Name(NameEvent),
    /// So many names or log lines were left out, because the client reads too slowly.
    Missed(u64),
    /// Why a name answers as it does.
    Explanation(Explanation),
    /// One line of the log.
    Log(String),
    /// There is no more to this reply.
    Done,
    /// The request failed.
    Error(Problem),
}

/// What a watch brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchEvent {
    /// The session's status, now or after a change.
    Status(Box<SessionStatus>),
    /// A name was asked for.
    Name(NameEvent),
    /// So many names were left out.
    Missed(u64),
}

/// Something wrong, as people and scripts are told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{cause}")]
pub struct Problem {
    /// A word for scripts that never changes.
    pub code: String,
    /// What is wrong, in a sentence.
    pub cause: String,
    /// What the person can do, in a sentence.
    pub remedy: String,
}

impl Problem {
    /// A problem of these three parts. Cause and remedy become sentences where they are not: errors begin small and end
    /// without a full stop, because they stand within one another. A very long cause is cut.
    pub fn new(code: impl Into<String>, cause: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            cause: sentence(bounded(cause.into())),
            remedy: sentence(remedy.into()),
        }
    }
}

fn bounded(mut text: String) -> String {
    if text.len() > MAX_CAUSE {
        text.truncate(text.floor_char_boundary(MAX_CAUSE));
        text.push_str("...");
    }
    text
}

/// Begins with a capital, where it begins with a plain word, and ends with a full stop, where it ends in a line.
fn sentence(mut text: String) -> String {
    let first = text.split(' ').next().unwrap_or_default();
    let is_plain = first
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte == b'\'' || byte == b',');
    if is_plain && let Some(initial) = text.get_mut(..1) {
        initial.make_ascii_uppercase();
    }
    if !text.is_empty() && !text.ends_with(['.', '?', '!', ':', '\n']) {
        text.push('.');
    }
    text
}

/// One name that a program asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameEvent {
    /// When the answer was given.
    pub at: Timestamp,
    /// The name as asked.
    pub name: String,
    /// The kind of record, as in `AAAA`.
    pub kind: String,
    /// The program that asked, where the kernel lets us know.
    #[serde(default)]
    pub program: Option<String>,
    /// The answer, an address or other data each; empty when there was none.
    #[serde(default)]
    pub answer: Vec<String>,
    /// Who answered.
    pub answered_by: Answerer,
    /// How long it took, in milliseconds.
    pub took_ms: u32,
    /// Why there is no answer, in a sentence.
    #[serde(default)]
    pub problem: Option<Problem>,
}

/// Who answered for a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answerer {
    /// The cluster's DNS, through the agent.
    Cluster,
    /// The laptop's own name servers.
    Laptop,
    /// Nobody: there is no such name, or no answer came.
    Nobody,
}

/// Why a name answers as it does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The name as asked.
    pub name: String,
    /// Who answers for it.
    pub answered_by: Answerer,
    /// What it answers; empty when nothing.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_told_in_sentences() {
        for (said, sentence) in [
            ("you may not list pods", "You may not list pods."),
            (
                "the kubeconfig has no context \"x\"",
                "The kubeconfig has no context \"x\".",
            ),
            ("slipway-helper does not run", "slipway-helper does not run."),
            ("https://10.0.0.1/ is away", "https://10.0.0.1/ is away."),
            (
                "`slipway status` shows what runs",
                "`slipway status` shows what runs.",
            ),
            (
                "Ask for this Role:\n\nkind: Role\n",
                "Ask for this Role:\n\nkind: Role\n",
            ),
            ("Done.", "Done."),
            ("", ""),
        ] {
            assert_eq!(Problem::new("x", said, said).cause, sentence);
            assert_eq!(Problem::new("x", said, said).remedy, sentence);
        }
    }

    #[test]
    fn a_cause_without_end_is_cut_between_characters() {
        let cause = Problem::new("x", format!("a{}", "ä".repeat(MAX_CAUSE)), "").cause;
        assert_eq!(cause.len(), MAX_CAUSE - 1 + "...".len());
        assert!(cause.ends_with("ä..."), "{cause}");
    }

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
    }

    #[test]
    fn replies_keep_their_form() {
        let text = |reply: &Reply| serde_json::to_string(reply).unwrap();
        assert_eq!(text(&Reply::Done), r#"{"reply":"done"}"#);
        assert_eq!(
            text(&Reply::Error(Problem::new("a", "B.", "C."))),
            r#"{"reply":"error","value":{"code":"a","cause":"B.","remedy":"C."}}"#
        );
    }
}
