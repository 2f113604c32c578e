//! Kinds of laptop.

use std::fmt;
use std::str::FromStr;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

/// Kind of a laptop: its resolver and its firewall.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LaptopKind {
    /// A name server in `/etc/resolv.conf`, no firewall.
    Plain,
    /// systemd-resolved, with polkitd deciding who may change it.
    Resolved,
    /// As plain, with a firewall that accepts only answers.
    Firewall,
    /// As plain, for what leaves a laptop alone: no test starts a helper on it.
    Bare,
}

impl LaptopKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Plain, Self::Resolved, Self::Firewall, Self::Bare];

    /// `plain`, `resolved`, `firewall` or `bare`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Resolved => "resolved",
            Self::Firewall => "firewall",
            Self::Bare => "bare",
        }
    }
}

impl fmt::Display for LaptopKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for LaptopKind {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Self> {
        match Self::ALL.into_iter().find(|kind| kind.name() == name) {
            Some(kind) => Ok(kind),
            None => bail!("there is no laptop {name:?}: use plain, resolved, firewall or bare"),
        }
    }
}
