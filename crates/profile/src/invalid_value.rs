//! Invalid values of a profile.

use std::fmt;

/// An invalid value: its kind, its text, and the reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", sentence(self))]
pub struct InvalidValue {
    what: &'static str,
    /// The text; `None` if it may be a secret.
    text: Option<String>,
    why: String,
}

impl InvalidValue {
    /// Longest part of the text in the message, in characters.
    const SHOWN: usize = 80;

    pub(crate) fn new(what: &'static str, text: impl fmt::Display, why: impl Into<String>) -> Self {
        let text = text.to_string().chars().take(Self::SHOWN).collect();
        Self {
            what,
            text: Some(text),
            why: why.into(),
        }
    }

    /// An invalid value whose text may be a secret.
    pub(crate) fn unsaid(what: &'static str, why: impl Into<String>) -> Self {
        Self {
            what,
            text: None,
            why: why.into(),
        }
    }
}

fn sentence(InvalidValue { what, text, why }: &InvalidValue) -> String {
    match text {
        Some(text) => format!("{text:?} is not a valid {what}: {why}"),
        None => format!("this is not a valid {what}: {why}"),
    }
}
