//! Errors of secrets.

use std::path::PathBuf;
use std::time::Duration;

use slipway_problem::{Action, Fault};
use slipway_profile::ProfileName;

use crate::bus::BusError;
use crate::purpose::Purpose;

/// Reason for which a secret cannot be read or stored. No text contains a secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// No program keeps a keyring for this user, or there is no session bus.
    #[error("there is no keyring: {detail}")]
    NoKeyring {
        /// Message of the bus or the system.
        detail: String,
    },
    /// The keyring is locked, and it was not unlocked.
    #[error("the keyring is locked")]
    Locked,
    /// The keyring refuses to do what was requested.
    #[error("the keyring refuses: {detail}")]
    Refused {
        /// Its message.
        detail: String,
    },
    /// The keyring did not answer in time.
    #[error("the keyring did not answer within {} s", waited.as_secs())]
    Silent {
        /// Length of the wait.
        waited: Duration,
    },
    /// The keyring has no such secret.
    #[error("the keyring has no {purpose} of the profile {profile}")]
    NotStored {
        /// The profile.
        profile: ProfileName,
        /// Purpose of the secret.
        purpose: Purpose,
    },
    /// The environment variable is not set.
    #[error("the environment variable {name} is not set")]
    NoVariable {
        /// Its name.
        name: String,
    },
    /// The file cannot be read.
    #[error("the file {} cannot be read: {detail}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Message of the kernel, or what is wrong with the file.
        detail: String,
    },
    /// Other users may read the file.
    #[error("other users may read or change the file {} (mode {mode:04o})", path.display())]
    OpenFile {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The program failed or did not start.
    #[error("the program {program} failed: {detail}")]
    Program {
        /// The program.
        program: String,
        /// What it said on standard error, or why it did not start.
        detail: String,
    },
    /// The place of the secret is empty.
    #[error("{place} is empty")]
    Empty {
        /// The place.
        place: String,
    },
    /// The secret is no text, or is too long.
    #[error("{place} has no usable secret: {detail}")]
    Unusable {
        /// The place.
        place: String,
        /// What is wrong.
        detail: &'static str,
    },
}

impl From<BusError> for SecretError {
    fn from(error: BusError) -> Self {
        match error {
            BusError::Absent(detail) => Self::NoKeyring { detail },
            BusError::Slow(waited) => Self::Silent { waited },
            BusError::Refused { name, .. } if name == "org.freedesktop.Secret.Error.IsLocked" => Self::Locked,
            BusError::Refused { name, message } => Self::Refused {
                detail: if message.is_empty() { name } else { message },
            },
            BusError::Broken(detail) => Self::Refused {
                detail: detail.to_owned(),
            },
        }
    }
}

impl Fault for SecretError {
    fn code(&self) -> &str {
        match self {
            Self::NoKeyring { .. } => "keyring-absent",
            Self::Locked => "keyring-locked",
            Self::Refused { .. } => "keyring-refuses",
            Self::Silent { .. } => "keyring-silent",
            Self::NotStored { .. } | Self::NoVariable { .. } => "secret-missing",
            Self::File { .. } => "secret-file",
            Self::OpenFile { .. } => "secret-file-open",
            Self::Program { .. } => "secret-program",
            Self::Empty { .. } | Self::Unusable { .. } => "secret-unusable",
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::NoKeyring { .. } => "Start a keyring for this user, such as gnome-keyring, KWallet or KeePassXC, or write \
                 in the profile where else the secret is: `env:NAME`, `file:PATH` or `exec:COMMAND`."
                .to_owned(),
            Self::Locked => {
                "Unlock the keyring, for example with the program Passwords and Keys, and try again.".to_owned()
            }
            Self::Refused { .. } | Self::Silent { .. } => {
                "Check the keyring with its own program, such as Passwords and Keys: it needs a default keyring that is \
                 unlocked."
                    .to_owned()
            }
            Self::NotStored { profile, purpose } => {
                format!("Store it with `slipway profiles secret set {profile} {purpose}`.")
            }
            Self::NoVariable { name } => {
                format!("Set {name} where the session starts; the desktop has only the variables of the login.")
            }
            Self::File { .. } => "Check the path in the profile, and that you own the file.".to_owned(),
            Self::OpenFile { path, .. } => format!(
                "Run `chmod 600 {}`. If others could read it until now, replace the secret.",
                path.display()
            ),
            Self::Program { program, .. } => {
                format!("Run {program} in a terminal, as the profile says; it has to print the secret and succeed.")
            }
            Self::Empty { .. } | Self::Unusable { .. } => {
                "The place that the profile names has to contain the secret alone, as text of at most 64 KiB.".to_owned()
            }
        }
    }

    fn actions(&self) -> Vec<Action> {
        let command = match self {
            Self::NotStored { profile, purpose } => {
                format!("slipway profiles secret set {profile} {purpose}")
            }
            Self::OpenFile { path, .. } => format!("chmod 600 {}", path.display()),
            Self::NoKeyring { .. }
            | Self::Locked
            | Self::Refused { .. }
            | Self::Silent { .. }
            | Self::NoVariable { .. }
            | Self::File { .. }
            | Self::Program { .. }
            | Self::Empty { .. }
            | Self::Unusable { .. } => return Vec::new(),
        };
        vec![Action::Run { command }]
    }
}
