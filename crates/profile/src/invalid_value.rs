//! Values that a profile cannot hold.

use std::fmt;

/// A value that a profile cannot hold: what it was meant to be, the text, and why not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a {what}: {why}")]
pub struct InvalidValue {
    what: &'static str,
    text: String,
    why: String,
}

impl InvalidValue {
    /// Longest part of a refused text that is repeated in the message.
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
