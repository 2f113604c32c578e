//! Reasons why the helper is not started or ended.

use std::path::PathBuf;

use slipway_helper_api::Unguarded;
use slipway_problem::Fault;

use super::program::{PACKAGED, Unusable};

/// Why the helper can be neither started nor ended from here.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoWay {
    /// No program may be run as root.
    #[error("slipway-helper cannot be started from here: {why}")]
    Program {
        why: Unusable,
        /// Where it is to listen.
        socket: PathBuf,
    },
    /// The helper runs, but no program may be run as root to end it.
    #[error("slipway-helper cannot be ended from here: {0}")]
    NotEnded(Unusable),
    /// A helper of root does not listen at the socket.
    #[error("slipway-helper would not listen at {}: {why}", socket.display())]
    Place {
        socket: PathBuf,
        #[source]
        why: Unguarded,
    },
    /// No program is there that gives a privilege.
    #[error("slipway-helper needs a privilege, and neither sudo nor pkexec can ask you for it")]
    NoTool,
    /// A helper of another version runs in somebody's terminal.
    #[error("another version of slipway-helper runs in a terminal")]
    OtherByHand,
}

impl Fault for NoWay {
    fn code(&self) -> &str {
        match self {
            Self::Program { why, .. } if why.program().is_none() => "helper-not-installed",
            Self::Program { .. } | Self::NotEnded(_) => "helper-not-trusted",
            Self::Place { .. } => "helper-socket-not-trusted",
            Self::NoTool => "helper-no-privilege",
            Self::OtherByHand => "helper-version",
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::Program { why, socket } => match why.program() {
                Some(program) => format!(
                    "if you trust it, install it where only root can write, `sudo install -D {0} {PACKAGED}`, and try again; or \
                     start it in a terminal of its own: `sudo {0} --socket {1} --allow-uid {2}`",
                    program.display(),
                    socket.display(),
                    nix::unistd::geteuid()
                ),
                None => "install Slipway completely".to_owned(),
            },
            Self::NotEnded(_) => {
                "end it in its terminal; if `slipway helper start` started it, it also ends when you log out".to_owned()
            }
            Self::Place { .. } => {
                "start it without SLIPWAY_HELPER_SOCKET and `--helper-socket`, and connect without them too".to_owned()
            }
            Self::NoTool => {
                "run `slipway helper start` at a terminal with sudo, or ask the laptop's administrator to start \
                 slipway-helper"
                    .to_owned()
            }
            Self::OtherByHand => "end it in its terminal, then run `slipway helper start`".to_owned(),
        }
    }
}

/// Why the helper did not start or end, although that was attempted.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotDone {
    /// The program that gives the privilege failed, or the person refused.
    #[error("the program {tool} did not {what} slipway-helper ({how}){said}")]
    Tool {
        /// Its name.
        tool: String,
        /// What it was to do, as a verb.
        what: &'static str,
        /// How it ended.
        how: String,
        /// What it said, after a colon; empty if it said so to the terminal.
        said: String,
    },
    /// Sessions use it.
    #[error("{sessions} of your sessions use slipway-helper")]
    InUse { sessions: usize },
}

impl Fault for NotDone {
    fn code(&self) -> &str {
        match self {
            Self::Tool { .. } => "helper-not-started",
            Self::InUse { .. } => "helper-in-use",
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::Tool { .. } => {
                "try again with your password, or ask the laptop's administrator to start slipway-helper"
                    .to_owned()
            }
            Self::InUse { .. } => "end them first with `slipway disconnect --all`".to_owned(),
        }
    }
}
