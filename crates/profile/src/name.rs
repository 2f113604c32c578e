//! Name of a profile.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use slipway_problem::{Action, Problem};

use crate::invalid_value::InvalidValue;
use crate::value::text_value;

/// A profile's name: `[a-z0-9][a-z0-9-]{0,62}`. It is valid as a file name, as a part of
/// `NAME.PROFILE.slipway.internal` and as a program's argument.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "String", into = "String")]
pub struct ProfileName(String);

impl ProfileName {
    /// Longest name, in characters: one DNS label (RFC 1035, 2.3.4).
    pub const MAX_LEN: usize = 63;

    /// Returns the name of a profile that is not saved.
    pub(crate) fn unsaved() -> Self {
        Self("unsaved".to_owned())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Adds the command that edits this saved profile to a problem's remedy.
    pub fn editable(&self, problem: Problem) -> Problem {
        let edit = Action::EditProfile {
            profile: self.0.clone(),
        };
        let remedy = format!(
            "{}\nTo change the profile, run `slipway profiles edit {self}`.",
            problem.remedy
        );
        Problem::new(problem.code, problem.cause, remedy)
            .with_actions(problem.actions)
            .with_actions([edit])
    }
}

impl FromStr for ProfileName {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let invalid = |why| Err(InvalidValue::new("profile name", text, why));
        if text.is_empty() || text.len() > Self::MAX_LEN {
            return invalid("it must have 1 to 63 characters");
        }
        if !text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        {
            return invalid("it may have only lower-case letters, digits and '-'");
        }
        if text.starts_with('-') {
            return invalid("it must not begin with '-'");
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for ProfileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

text_value!(ProfileName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_neither_a_path_nor_an_option() {
        for bad in ["", "..", "a/b", "-a", "A", "a.b", "a b", "ä", &"a".repeat(64)] {
            assert!(bad.parse::<ProfileName>().is_err(), "{bad:?} was taken");
        }
        for good in ["a", "0", "shop-staging", &"a".repeat(63)] {
            assert_eq!(good.parse::<ProfileName>().unwrap().as_str(), good);
        }
    }
}
