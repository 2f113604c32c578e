//! Versions of the protocol, and the first messages, which exchange them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Protocol version of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Version {
    /// Incompatible generation. Peers of different epochs understand only each other's [`Hello`], whose form never
    /// changes.
    pub epoch: u32,
    /// Compatible revision of an epoch. A helper understands the revisions up to its own.
    pub revision: u32,
}

impl Version {
    /// Protocol version of this build.
    pub const OURS: Self = Self {
        epoch: 4,
        revision: 1,
    };

    /// Returns whether a helper of this version can serve that client.
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

/// First message of a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hello {
    /// See [`Version::epoch`].
    pub epoch: u32,
    /// See [`Version::revision`].
    pub revision: u32,
    /// Build of the client, for people.
    pub build: Build,
}

/// Reply to [`Hello`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Welcome {
    /// Protocol version of the helper.
    pub version: Version,
    /// Build of the helper, for people.
    pub build: Build,
}

/// Name of a build, for people: 1 to 64 printable ASCII characters without spaces, so that it is safe in a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Build(String);

impl Build {
    /// Returns the name of this build: its package version.
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
