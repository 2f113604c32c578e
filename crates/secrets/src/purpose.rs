//! Purposes of secrets.

use std::fmt;
use std::str::FromStr;

/// Purpose of a secret. A profile has at most one secret for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Token with which the user logs in to the API server.
    Token,
}

impl Purpose {
    /// Every purpose.
    pub const ALL: [Self; 1] = [Self::Token];

    /// Returns its name in commands and in the keyring.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
        }
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A profile has no secret of this purpose.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a profile has only the secret `token`")]
pub struct UnknownPurpose;

impl FromStr for Purpose {
    type Err = UnknownPurpose;

    fn from_str(text: &str) -> Result<Self, UnknownPurpose> {
        let mut all = Self::ALL.into_iter();
        all.find(|purpose| purpose.as_str() == text).ok_or(UnknownPurpose)
    }
}
