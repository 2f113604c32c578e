//! The privileged helper of this laptop, as it presents itself to a user.

use serde::{Deserialize, Serialize};
use slipway_problem::Problem;

/// The helper. `slipway helper status --json` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HelperStatus {
    /// The socket at which it is expected.
    pub socket: String,
    /// Whether a helper runs there and would serve this user.
    pub serves: bool,
    /// Its version; `null` if none answers.
    pub version: Option<String>,
    /// How it was started; `null` if none answers.
    pub started: Option<HelperStarted>,
    /// How many sessions of this user have a network device of it.
    pub sessions: usize,
    /// Why it does not serve this user; `null` if it does.
    pub problem: Option<Problem>,
    /// How `slipway helper start` would start it; `null` if there is nothing to start, or if it cannot be started.
    pub start: Option<HelperStart>,
    /// Why `slipway helper start` cannot start it; `null` if it can, or if there is nothing to start.
    pub obstacle: Option<Problem>,
}

/// How a helper was started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum HelperStarted {
    /// By systemd, for all users.
    Service {
        /// The unit.
        unit: String,
    },
    /// By `slipway helper start`, for one user.
    Slipway,
    /// By a person, in a terminal.
    Hand {
        /// The command line, quoted for a shell.
        command: String,
    },
    /// It is not known.
    #[serde(other)]
    Unknown,
}

/// The program that gives the helper its privilege.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum HelperStart {
    /// systemd starts the installed service, after polkit's question.
    Systemctl,
    /// pkexec, after polkit's question.
    Pkexec,
    /// sudo, after its question.
    Sudo,
    /// None: the user is root.
    Root,
    /// A program that this version does not know.
    #[serde(other)]
    Unknown,
}
