//! Errors of profiles and their files.

use std::io;
use std::path::PathBuf;

use slipway_problem::Fault;

use crate::invalid_value::InvalidValue;
use crate::mistake::{Mistake, MistakeCode};
use crate::name::ProfileName;
use crate::position::FilePosition;

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
    #[error("{}", listed(source_name, mistakes))]
    Invalid {
        /// The name of the file.
        source_name: String,
        /// Every mistake, in the order of the text.
        mistakes: Vec<Mistake>,
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
        /// Where the text says it.
        place: Option<FilePosition>,
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

impl Error {
    /// Returns the mistakes in the text; none for an error of another kind.
    pub fn mistakes(&self) -> Vec<Mistake> {
        match self {
            Self::Invalid { mistakes, .. } => mistakes.clone(),
            Self::Version {
                found,
                place,
                supported,
                ..
            } => vec![Mistake {
                field: Some("version".to_owned()),
                place: *place,
                code: MistakeCode::Version,
                message: format!("this program reads version {supported} of the profile format, not {found}"),
            }],
            Self::NoConfigHome
            | Self::Name(_)
            | Self::Missing(_)
            | Self::Exists(_)
            | Self::TooLarge { .. }
            | Self::Io { .. } => Vec::new(),
        }
    }
}

/// Formats mistakes: one behind the file's name, several below it, each on its line.
fn listed(source_name: &str, mistakes: &[Mistake]) -> String {
    match mistakes {
        [only] => format!("{source_name}, {only}"),
        several => {
            let lines: String = several.iter().map(|mistake| format!("\n  {mistake}")).collect();
            format!("{source_name} has {} mistakes:{lines}", several.len())
        }
    }
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
    fn a_long_refused_value_is_shortened() {
        let error = InvalidValue::new("host name", "x".repeat(10_000), "it is too long");
        assert!(error.to_string().len() < 200);
    }
}
