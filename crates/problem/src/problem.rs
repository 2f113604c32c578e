//! Problem: code, cause, remedy and actions as data.

use serde::{Deserialize, Serialize};

use crate::action::{Action, known_actions};

/// Longest cause in bytes. It may contain text of an API server, which has no limit.
const MAX_CAUSE: usize = 2 * 1024;

/// A problem, for users and scripts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{cause}")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Problem {
    /// Identifier for scripts, in kebab-case. Never changes between versions.
    pub code: String,
    /// The error, in a sentence.
    pub cause: String,
    /// What the user can do, in one or more lines.
    pub remedy: String,
    /// The remedies that a program can offer as buttons; often empty.
    #[serde(default, deserialize_with = "known_actions")]
    pub actions: Vec<Action>,
}

impl Problem {
    /// A problem without actions. Cause and remedy become sentences: error texts begin in lower case and have no full stop,
    /// because they can be part of each other. A very long cause is cut, and one that ends before an empty message ends
    /// without the colon.
    pub fn new(code: impl Into<String>, cause: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            cause: sentence(bounded(without_colon(cause.into()))),
            remedy: sentence(remedy.into()),
            actions: Vec::new(),
        }
    }

    /// Appends actions to the problem.
    pub fn with_actions(mut self, actions: impl IntoIterator<Item = Action>) -> Self {
        self.actions.extend(actions);
        self
    }
}

/// Removes the colon after which a message of another program would stand, if that is empty.
fn without_colon(text: String) -> String {
    match text.trim_end().strip_suffix(':') {
        Some(whole) => whole.to_owned(),
        None => text,
    }
}

fn bounded(mut text: String) -> String {
    if text.len() > MAX_CAUSE {
        text.truncate(text.floor_char_boundary(MAX_CAUSE));
        text.push_str("...");
    }
    text
}

/// Capitalizes the first word if it is a plain one, and adds a full stop if the text does not end with punctuation.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_cause_is_cut_between_characters() {
        let cause = Problem::new("x", format!("a{}", "ä".repeat(MAX_CAUSE)), "").cause;
        assert_eq!(cause.len(), MAX_CAUSE - 1 + "...".len());
        assert!(cause.ends_with("ä..."), "{cause}");
    }

    #[test]
    fn a_cause_before_an_empty_message_has_no_colon() {
        assert_eq!(Problem::new("x", "the pod ended: ", "").cause, "The pod ended.");
    }

    #[test]
    fn cause_and_remedy_become_sentences() {
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
    fn an_unknown_action_does_not_hide_the_problem() {
        let text = r#"{"code":"a","cause":"B.","remedy":"C.","actions":[
            {"do":"fly","to":"the moon"},
            {"do":"run","command":"slipway doctor"},
            {"do":"run"},
            7
        ]}"#;
        let problem: Problem = serde_json::from_str(text).unwrap();
        let action = Action::Run {
            command: "slipway doctor".into(),
        };
        assert_eq!(problem, Problem::new("a", "B.", "C.").with_actions([action]));
    }

    #[test]
    fn a_problem_without_actions_is_read() {
        let problem: Problem = serde_json::from_str(r#"{"code":"a","cause":"B.","remedy":"C."}"#).unwrap();
        assert_eq!(problem.actions, []);
    }
}
