//! Versions of the protocol, and the first words that exchange them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a peer speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Version {
    /// Which language. Different epochs do not understand each other past [`Hello`], whose form never changes.
    pub epoch: u32,
    /// Which words of it. A helper understands the revisions up to its own.
    pub revision: u32,
}

impl Version {
    /// What this build speaks.
    pub const OURS: Self = Self {
        epoch: 3,
        revision: 1,
    };

    /// Whether a helper of this version can serve that client.
    #[must_use]
    pub fn serves(self, client: Self) -> bool {
        self.epoch == client.epoch && client.revision <= self.revision
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.revision)
    }
}

/// The first word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hello {
    /// See [`Version::epoch`].
    pub epoch: u32,
    /// See [`Version::revision`].
    pub revision: u32,
    /// Which build the client is, for people.
    pub build: Build,
}

/// The answer to the first word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Welcome {
    /// What the helper speaks.
    pub version: Version,
    /// Which build the helper is, for people.
    pub build: Build,
}

/// The name of a build, for people: 1 to 64 printable ASCII characters, so that it may go into a log as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Build(String);

impl Build {
    /// This build.
    #[must_use]
    pub fn ours() -> Self {
        Self(env!("CARGO_PKG_VERSION").to_owned())
    }
}

impl TryFrom<String> for Build {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Ok(Self(text));
        }
        Err("a build is 1 to 64 printable ASCII characters")
    }
}

impl From<Build> for String {
    fn from(build: Build) -> Self {
        build.0
    }
}

impl fmt::Display for Build {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_helper_serves_clients_up_to_its_own_revision() {
        let ours = Version {
            epoch: 3,
            revision: 5,
        };
        assert!(ours.serves(Version {
            epoch: 3,
            revision: 5
        }));
        assert!(ours.serves(Version {
            epoch: 3,
            revision: 1
        }));
        assert!(!ours.serves(Version {
            epoch: 3,
            revision: 6
        }));
        assert!(!ours.serves(Version {
            epoch: 1,
            revision: 5
        }));
        assert!(!ours.serves(Version {
            epoch: 4,
            revision: 5
        }));
    }
}
