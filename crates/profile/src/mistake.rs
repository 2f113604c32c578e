//! Mistakes in the text of a profile.

use std::fmt;

use serde::Serialize;

use crate::position::FilePosition;

/// One mistake in the text of a profile. `slipway profiles validate --json` prints an array of these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Mistake {
    /// Path of the field, such as `agent.grace-seconds` or `also-proxy[2]`; `null` where the text is not TOML.
    pub field: Option<String>,
    /// Where it is in the text; `null` for a field that the text lacks.
    pub place: Option<FilePosition>,
    /// The kind of mistake, for programs.
    pub code: MistakeCode,
    /// What is wrong, for users. It never contains the value of a field for a secret.
    pub message: String,
}

/// Kind of a mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum MistakeCode {
    /// The text is not TOML there.
    Syntax,
    /// A profile has no such field.
    UnknownField,
    /// The value has another type than the field.
    WrongType,
    /// The field does not accept the value.
    InvalidValue,
    /// A required field is not there.
    MissingField,
    /// Two fields exclude each other, or one needs another.
    Conflict,
    /// The text has another version of the format than this program reads.
    Version,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = self.place {
            write!(f, "{place}: ")?;
        }
        if let Some(field) = &self.field {
            write!(f, "{field}: ")?;
        }
        f.write_str(&self.message)
    }
}
