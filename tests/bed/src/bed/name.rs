//! Name of a bed, and names that are derived from it.

use std::fmt;
use std::str::FromStr;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// Name of a bed, part of the names of its namespaces and control groups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BedName(String);

impl Default for BedName {
    fn default() -> Self {
        Self("default".to_owned())
    }
}

impl FromStr for BedName {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Self> {
        let is_fit = (1..=16).contains(&name.len())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        ensure!(
            is_fit,
            "{name:?} is no name for a bed: 1 to 16 small letters and digits"
        );
        Ok(Self(name.to_owned()))
    }
}

impl TryFrom<String> for BedName {
    type Error = anyhow::Error;

    fn try_from(name: String) -> Result<Self> {
        name.parse()
    }
}

impl From<BedName> for String {
    fn from(name: BedName) -> Self {
        name.0
    }
}

impl fmt::Display for BedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl BedName {
    /// Returns the name of the bed for tests: `SLIPWAY_BED`, else the default.
    ///
    /// # Errors
    /// If `SLIPWAY_BED` is not a valid name.
    pub fn of_tests() -> Result<Self> {
        std::env::var("SLIPWAY_BED").map_or_else(|_| Ok(Self::default()), |name| name.parse())
    }

    /// Returns the name of another bed beside this one, for a test that needs a different bed.
    ///
    /// # Errors
    /// If the combined name is not valid.
    pub fn beside(&self, what: &str) -> Result<Self> {
        format!("{self}{what}").parse()
    }

    /// The name as text.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Prefix of the names of its namespaces. It is unique, because names have no hyphen.
    pub(super) fn prefix(&self) -> String {
        format!("slw-{self}-")
    }

    /// Control group of its processes.
    pub(super) fn cgroup(&self) -> String {
        format!("slw-{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_or_ambiguous_name_is_refused() {
        for name in ["", "Default", "a-b", "a/b", "..", "sixteen0sixteen00"] {
            assert!(name.parse::<BedName>().is_err(), "{name}");
        }
        // No bed's prefix begins with that of another bed.
        let (one, other): (BedName, BedName) = ("a".parse().unwrap(), "ab".parse().unwrap());
        assert!(!other.prefix().starts_with(&one.prefix()));
    }
}
