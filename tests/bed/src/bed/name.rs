//! What a bed is called, and what is called after it.

use std::fmt;
use std::str::FromStr;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

/// What a bed is called: part of the names of its namespaces and control groups.
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
    /// The bed that tests are to use: the one that `SLIPWAY_BED` names, else the default one.
    ///
    /// # Errors
    /// If it names none.
    pub fn of_tests() -> Result<Self> {
        std::env::var("SLIPWAY_BED").map_or_else(|_unset| Ok(Self::default()), |name| name.parse())
    }

    /// A bed beside this one, for a test that needs one unlike it.
    ///
    /// # Errors
    /// If both together are no name.
    pub fn beside(&self, what: &str) -> Result<Self> {
        format!("{self}{what}").parse()
    }

    /// As it is written.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// What its namespaces' names begin with. No other bed's do: names have no hyphen.
    pub(super) fn prefix(&self) -> String {
        format!("slw-{self}-")
    }

    /// The control group of what runs in it.
    pub(super) fn cgroup(&self) -> String {
        format!("slw-{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_would_not_fit_or_would_be_taken_for_another_is_refused() {
        for name in ["", "Default", "a-b", "a/b", "..", "sixteen0sixteen00"] {
            assert!(name.parse::<BedName>().is_err(), "{name}");
        }
        // No prefix of one bed is the beginning of another's.
        let (one, other): (BedName, BedName) = ("a".parse().unwrap(), "ab".parse().unwrap());
        assert!(!other.prefix().starts_with(&one.prefix()));
    }
}
