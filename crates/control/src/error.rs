//! Errors of control sockets.

use std::io;
use std::path::PathBuf;

use slipway_control_api::{Action, PROTOCOL_VERSION, Problem, SessionId};
use slipway_problem::Fault;

/// Why a session could not be reached or served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no folder that only this user can use and that is removed with the login.
    #[error("there is no runtime folder: XDG_RUNTIME_DIR is not set and {} does not exist", fallback.display())]
    NoRuntimeFolder {
        /// The folder that was tried instead.
        fallback: PathBuf,
    },
    /// The folder belongs to another user, or other users can enter it.
    #[error("other users can access the folder {}", folder.display())]
    NotPrivate {
        /// The folder.
        folder: PathBuf,
    },
    /// No session of that id runs.
    #[error("session {0} does not run")]
    NoSession(SessionId),
    /// The session did not answer in time.
    #[error("session {id} did not {what} within {seconds} s")]
    TimedOut {
        /// The session.
        id: SessionId,
        /// The expected action, as in `report its status`.
        what: &'static str,
        /// The limit in seconds.
        seconds: u64,
    },
    /// The session has another protocol version.
    #[error(
        "session {id} uses version {found} of the control protocol, and this program uses version {PROTOCOL_VERSION}"
    )]
    Version {
        /// The session.
        id: SessionId,
        /// Its version.
        found: u32,
    },
    /// The session sent a message that the protocol does not allow here.
    #[error("session {id} sent an unexpected message: {what}")]
    Unexpected {
        /// The session.
        id: SessionId,
        /// The message, shortened.
        what: String,
    },
    /// The session answered with a problem.
    #[error(transparent)]
    Refused(Problem),
    /// The system refused an operation on a socket or folder.
    #[error("{} could not be {action}: {source}", path.display())]
    Io {
        /// The failed operation, as a participle: read, served, ...
        action: &'static str,
        /// The socket or folder.
        path: PathBuf,
        /// The system's error.
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
                "log in so that the system starts a user session (loginctl lists it), or set XDG_RUNTIME_DIR to a \
                 folder that you own and that has mode 0700"
                    .into()
            }
            Self::NotPrivate { folder } => {
                format!(
                    "check that you own it, then close it to other users with `chmod 700 {}`",
                    folder.display()
                )
            }
            Self::NoSession(_) => "`slipway status` shows the sessions".into(),
            Self::TimedOut { id, .. } => {
                format!(
                    "look at `slipway logs {id}`; if the session hangs, kill its `slipway` process, and the helper cleans up after it"
                )
            }
            Self::Version { .. } => "end the session with the version of Slipway that started it, then connect again".into(),
            Self::Unexpected { .. } => "use the same version of Slipway for the session and for this program".into(),
            Self::Refused(problem) => problem.remedy.clone(),
            Self::Io { path, .. } => {
                format!(
                    "check that you own {} and that its disk has free space",
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
