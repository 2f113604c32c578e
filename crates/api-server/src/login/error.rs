//! Errors of a login.

use std::path::PathBuf;

use jiff::Timestamp;
use slipway_problem::Problem;
use thiserror::Error;

/// Reason for which there are no credentials that the API server accepts.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LoginError {
    /// The API server refused the credentials (401).
    #[error("it answered 401 Unauthorized{}", expiry(*expired))]
    Refused {
        /// The credential plugin that they came from, if any.
        plugin: Option<String>,
        /// Time at which they ended, if they are a JSON Web Token that tells it and the time has passed.
        expired: Option<Timestamp>,
    },
    /// The token file cannot be read.
    #[error("the token file {} cannot be read: {detail}", path.display())]
    TokenFile {
        /// The file.
        path: PathBuf,
        /// Message of the kernel.
        detail: String,
    },
    /// The credential plugin, or a kind of login that the kubeconfig names, cannot be used.
    #[error("{detail}")]
    Plugin {
        /// The program, as the kubeconfig names it.
        plugin: String,
        /// Its last words on standard error, or the reason why it did not start.
        detail: String,
        /// How to install it, as the kubeconfig says, if it is not there; for an unsupported kind of login, what to use
        /// in its place.
        install_hint: Option<String>,
    },
    /// The token cannot be read from its source outside the kubeconfig.
    #[error("{}", .0.cause)]
    Secret(Problem),
    /// The login ended before credentials came.
    #[error("the login ended")]
    Ended,
}

fn expiry(expired: Option<Timestamp>) -> String {
    match expired {
        Some(at) => format!(
            "; the token expired {} ago",
            span(Timestamp::now().duration_since(at).as_secs())
        ),
        None => String::new(),
    }
}

/// Formats a number of seconds in its largest unit.
fn span(seconds: i64) -> String {
    match seconds {
        ..=119 => format!("{} s", seconds.max(0)),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}
