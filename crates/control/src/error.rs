//! Why a session could not be reached or served.

use std::io;
use std::path::PathBuf;

use slipway_control_api::{Action, PROTOCOL_VERSION, Problem, SessionId};
use slipway_problem::Fault;

/// Why a session could not be reached or served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no folder that only this user can use and that ends with the login.
    #[error("there is no runtime folder: XDG_RUNTIME_DIR is not set and {} is not there", fallback.display())]
    NoRuntimeFolder {
        /// What was tried in its place.
        fallback: PathBuf,
    },
    /// The folder belongs to, or is open to, somebody else.
    #[error("{} is not private to this user", folder.display())]
    NotPrivate {
        /// The folder.
        folder: PathBuf,
    },
    /// No session of that id runs.
    #[error("there is no session {0}")]
    NoSession(SessionId),
    /// The session did not answer in time.
    #[error("session {id} did not {what} within {seconds} s")]
    TimedOut {
        /// The session.
        id: SessionId,
        /// What it was to do.
        what: &'static str,
        /// How long it was given.
        seconds: u64,
    },
    /// The session is of a version that speaks differently.
    #[error("session {id} speaks version {found} of the control protocol, this program {PROTOCOL_VERSION}")]
    Version {
        /// The session.
        id: SessionId,
        /// Its version.
        found: u32,
    },
    /// The session said something that is not in the protocol.
    #[error("session {id} said something unexpected: {what}")]
    Unexpected {
        /// The session.
        id: SessionId,
        /// What, shortened.
        what: String,
    },
    /// The session answered that it cannot.
    #[error(transparent)]
    Refused(Problem),
    /// The system refused an operation on a socket or folder.
    #[error("{} could not be {action}: {source}", path.display())]
    Io {
        /// What was tried, as a participle: read, served, ...
        action: &'static str,
        /// On which socket or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl Fault for Error {
    fn code(&self) -> &str {
        match self {
            Self::NoRuntimeFolder { .. } => "control-no-runtime-folder",
            Self::NotPrivate { .. } => "control-not-private",
            Self::NoSession(_) => "control-no-session",
            Self::TimedOut { .. } => "control-timed-out",
            Self::Version { .. } => "control-version",
            Self::Unexpected { .. } => "control-unexpected",
            Self::Refused(problem) => &problem.code,
            Self::Io { .. } => "control-io",
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::NoRuntimeFolder { .. } => {
                "log in so that a user session is made (loginctl shows it), or set XDG_RUNTIME_DIR to a \
                 folder of yours with mode 0700"
                    .into()
            }
            Self::NotPrivate { folder } => {
                format!("make it yours alone with `chmod 700 {}`", folder.display())
            }
            Self::NoSession(_) => "`slipway status` shows what runs".into(),
            Self::TimedOut { id, .. } => {
                format!("look at `slipway logs {id}`; if it hangs, end its process, and the helper cleans up")
            }
            Self::Version { .. } => "end the session with the version of Slipway that started it".into(),
            Self::Unexpected { .. } => "use the same version of Slipway for the session and for this".into(),
            Self::Refused(problem) => problem.remedy.clone(),
            Self::Io { path, .. } => {
                format!(
                    "check that {} is yours and that its disk has room",
                    path.display()
                )
            }
        }
    }

    fn actions(&self) -> Vec<Action> {
        match self {
            Self::Refused(problem) => problem.actions.clone(),
            Self::NoRuntimeFolder { .. }
            | Self::NotPrivate { .. }
            | Self::NoSession(_)
            | Self::TimedOut { .. }
            | Self::Version { .. }
            | Self::Unexpected { .. }
            | Self::Io { .. } => Vec::new(),
        }
    }
}
