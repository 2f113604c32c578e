//! Session id, by which commands name a session and which names its socket.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A session's id: `[a-z0-9][a-z0-9-]{0,62}`. It is a command's argument and a file name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SessionId(String);

/// Error for a text that is not a session id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a session id has 1 to 63 lower-case letters, digits and '-', and does not begin with '-'")]
pub struct InvalidSessionId;

impl SessionId {
    const MAX_LEN: usize = 63;
    /// Longest part that an id takes from a name. The whole path of a socket has at most 107 bytes (unix(7)).
    const MAX_STEM: usize = 32;

    /// An id that begins like `name` (a profile or a context) and ends in six digits of `random`, which distinguish
    /// sessions with the same name.
    pub fn new(name: &str, random: u32) -> Self {
        let mut stem = String::new();
        for c in name.chars().map(|c| c.to_ascii_lowercase()) {
            if stem.len() == Self::MAX_STEM {
                break;
            }
            if c.is_ascii_lowercase() || c.is_ascii_digit() {
                stem.push(c);
            } else if !stem.is_empty() && !stem.ends_with('-') {
                stem.push('-');
            }
        }
        let stem = match stem.trim_end_matches('-') {
            "" => "session",
            stem => stem,
        };
        Self(format!("{stem}-{:06x}", random & 0x00ff_ffff))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SessionId {
    type Err = InvalidSessionId;

    fn from_str(text: &str) -> Result<Self, InvalidSessionId> {
        let fits = (1..=Self::MAX_LEN).contains(&text.len())
            && !text.starts_with('-')
            && text
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if !fits {
            return Err(InvalidSessionId);
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for SessionId {
    type Error = InvalidSessionId;

    fn try_from(text: String) -> Result<Self, InvalidSessionId> {
        text.parse()
    }
}

impl From<SessionId> for String {
    fn from(id: SessionId) -> Self {
        id.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_begins_like_its_name() {
        let id = SessionId::new("shop-staging", 0xff_a1b2c3);
        assert_eq!(id.as_str(), "shop-staging-a1b2c3");
        for name in [
            "arn:aws:eks:eu-west-1:1234:cluster/a-name-that-goes-on-and-on",
            "",
            "---",
            "Ünïcode @ 1",
        ] {
            let id = SessionId::new(name, 7);
            assert_eq!(id.as_str().parse::<SessionId>().unwrap(), id);
            assert!(id.as_str().len() <= SessionId::MAX_STEM + 7);
            assert!(id.as_str().ends_with("-000007"), "{id}");
        }
    }

    #[test]
    fn an_id_cannot_leave_its_folder() {
        for bad in ["", "..", "a/b", "-a", "A", "a.sock", &"a".repeat(64)] {
            assert!(bad.parse::<SessionId>().is_err(), "{bad:?} was taken");
        }
    }
}
