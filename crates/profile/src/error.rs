//! Errors of profiles and their files.

use std::fmt;
use std::io;
use std::path::PathBuf;

use slipway_problem::Fault;

use crate::invalid_value::InvalidValue;
use crate::name::ProfileName;

/// Position of an error in a file, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilePosition {
    /// The line.
    pub line: usize,
    /// The character in the line.
    pub column: usize,
}

impl FilePosition {
    /// Returns the position of a byte of `text`.
    pub(crate) fn of(text: &str, byte: usize) -> Self {
        let before = text.get(..byte).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
        }
    }
}

impl fmt::Display for FilePosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// Error of reading, writing or finding a profile.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The environment names no folder for settings.
    #[error("the folder for settings is not known: neither XDG_CONFIG_HOME nor HOME is an absolute path")]
    NoConfigHome,
    /// The name is not valid for a profile.
    #[error(transparent)]
    Name(#[from] InvalidValue),
    /// No profile of that name is saved.
    #[error("the profile {0} does not exist")]
    Missing(ProfileName),
    /// A profile of that name is saved already.
    #[error("the profile {0} exists already")]
    Exists(ProfileName),
    /// The text is not a profile.
    #[error("{source_name}, {place}: {message}")]
    Invalid {
        /// The name of the file.
        source_name: String,
        /// Where in the text.
        place: FilePosition,
        /// What is wrong there.
        message: String,
    },
    /// The text has another version of the profile format.
    #[error(
        "{source_name} has version {found} of the profile format; this program reads version {supported}"
    )]
    Version {
        /// The name of the file.
        source_name: String,
        /// The version in the text.
        found: i64,
        /// The version that can be read.
        supported: u32,
    },
    /// The file is too large for a profile.
    #[error("{path} is too large for a profile (more than {limit} bytes)", path = path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit in bytes.
        limit: u64,
    },
    /// The system refused a file operation.
    #[error("{path} could not be {action}: {source}", path = path.display())]
    Io {
        /// The failed operation, as a participle: read, written, ...
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

impl Fault for Error {
    fn code(&self) -> &str {
        match self {
            Self::NoConfigHome => "profile-no-config-home",
            Self::Name(_) => "profile-name-invalid",
            Self::Missing(_) => "profile-missing",
            Self::Exists(_) => "profile-exists",
            Self::Invalid { .. } => "profile-invalid",
            Self::Version { .. } => "profile-version",
            Self::TooLarge { .. } => "profile-too-large",
            Self::Io { .. } => "profile-io",
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::NoConfigHome => "set HOME to your home folder".into(),
            Self::Name(_) => "use 1 to 63 lower-case letters, digits and '-', as in shop-staging".into(),
            Self::Missing(_) => "`slipway profiles list` shows the saved profiles".into(),
            Self::Exists(name) => format!("choose another name, or delete {name} first"),
            Self::Invalid { .. } => "correct the file in an editor; other profiles are not affected".into(),
            Self::Version { .. } => {
                "use the version of Slipway that wrote the profile, or create the profile again".into()
            }
            Self::TooLarge { .. } => "check that the file is a profile".into(),
            Self::Io { path, .. } => {
                format!(
                    "check that you own {} and that its disk has free space",
                    path.display()
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_lines_and_characters_from_one() {
        let text = "a = 1\nä = ö\n";
        assert_eq!(FilePosition::of(text, 0), FilePosition { line: 1, column: 1 });
        assert_eq!(
            FilePosition::of(text, text.find('ö').unwrap()),
            FilePosition { line: 2, column: 5 }
        );
        assert_eq!(
            FilePosition::of(text, text.len()),
            FilePosition { line: 3, column: 1 }
        );
    }

    #[test]
    fn a_long_refused_value_is_shortened() {
        let error = InvalidValue::new("host name", "x".repeat(10_000), "it is too long");
        assert!(error.to_string().len() < 200);
    }
}
