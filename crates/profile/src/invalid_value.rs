//! Invalid values of a profile.

use std::fmt;

/// An invalid value: its kind, its text, and the reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a valid {what}: {why}")]
pub struct InvalidValue {
    what: &'static str,
    text: String,
    why: String,
}

impl InvalidValue {
    /// Longest part of the text in the message, in characters.
    const SHOWN: usize = 80;

    pub(crate) fn new(what: &'static str, text: impl fmt::Display, why: impl Into<String>) -> Self {
        let text = text.to_string().chars().take(Self::SHOWN).collect();
        Self {
            what,
            text,
            why: why.into(),
        }
    }
}
