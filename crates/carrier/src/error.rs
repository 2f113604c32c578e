//! Why there is no carrier, or no more.

use std::{fmt, io};

use http::StatusCode;

/// Why a carrier could not be opened, or why it ended.
///
/// Reads and writes of a [`Pipe`](crate::Pipe) return it inside an [`io::Error`]; see
/// [`CarrierError::of`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CarrierError {
    /// The endpoint cannot exist, so nothing was sent.
    #[error("{field} of a carrier's endpoint is not valid: {value:?}")]
    InvalidEndpoint {
        /// Which field.
        field: &'static str,
        /// What it was.
        value: String,
    },
    /// The credentials could not be read or renewed; the request was not sent.
    #[error("no credentials for the cluster: {cause}; log in again, or check the kubeconfig's user")]
    Credentials {
        /// What the credential source said.
        cause: String,
    },
    /// No connection to the API server, or to the proxy before it (address, TLS).
    #[error("the API server cannot be reached: {cause}")]
    Unreachable {
        /// What failed.
        cause: String,
    },
    /// Somebody stopped answering.
    #[error("no answer in time: {wait}")]
    TimedOut {
        /// Which wait came to its end.
        wait: Wait,
    },
    /// 401: the API server does not know who asks.
    #[error("the API server does not accept the credentials: {message}; log in again")]
    Unauthorized {
        /// The API server's words.
        message: String,
    },
    /// 403: the user may not do this. The message names user, verb, resource and namespace.
    #[error("not allowed: {message}; ask for `create` and `get` on {resource}")]
    Forbidden {
        /// The API server's words.
        message: String,
        /// The resource that this kind needs.
        resource: &'static str,
    },
    /// 404: there is no such pod (any more).
    #[error("the pod is gone: {message}")]
    PodNotFound {
        /// The API server's words.
        message: String,
    },
    /// The API server, or a proxy before it, does not switch to this kind's protocol.
    #[error("the upgrade was refused with {status}: {message}")]
    UpgradeRefused {
        /// The HTTP status.
        status: StatusCode,
        /// The answer's body, or the message of the Status in it; cut to a readable length.
        message: String,
    },
    /// An exec carrier was asked for, and the endpoint names no command.
    #[error("an exec carrier needs a command, and the endpoint names none")]
    NoCommand,
    /// The other end broke the protocol.
    #[error("the API server's connection broke the protocol: {what}")]
    Protocol {
        /// What was wrong.
        what: &'static str,
    },
    /// The pod runs, and nothing listens on the port.
    #[error("nothing listens on the port in the pod: {message}")]
    PortRefused {
        /// The node's words.
        message: String,
    },
    /// The pod, or its network, ended while the carrier was being used.
    #[error("the pod ended: {message}")]
    PodGone {
        /// The node's words.
        message: String,
    },
    /// The node, or the command of an exec carrier, gave the carrier up for another reason.
    #[error("the node gave the carrier up: {message}")]
    Forward {
        /// The node's words.
        message: String,
    },
    /// The node reset the data stream and said nothing more.
    #[error("the node reset the carrier (SPDY status {status})")]
    Reset {
        /// Status code of SPDY 2.6.3.
        status: u32,
    },
    /// The connection ended before the data stream did.
    #[error("the connection to the API server was lost: {cause}")]
    Lost {
        /// What the connection said at its end.
        cause: String,
    },
}

/// Something that is waited for only so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// TCP and TLS, and the proxy's, to the API server: [`CONNECT_TIMEOUT`](crate::CONNECT_TIMEOUT).
    Connect,
    /// From the request to the switch of protocols: [`UPGRADE_TIMEOUT`](crate::UPGRADE_TIMEOUT).
    Upgrade,
    /// The body of an answer that refuses the upgrade.
    Refusal,
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Wait::Connect => "connecting to the API server",
            Wait::Upgrade => "the API server's switch to the carrier's protocol",
            Wait::Refusal => "the reason for which the API server refused",
        })
    }
}

impl CarrierError {
    /// The carrier's error inside an error of a pipe's read or write; `None` for other I/O errors
    /// (a reset of the TCP connection, say).
    pub fn of(error: &io::Error) -> Option<&CarrierError> {
        error.get_ref()?.downcast_ref()
    }

    /// The connection gave `error` to a read.
    pub(crate) fn lost(error: &io::Error) -> Self {
        Self::of(error).cloned().unwrap_or_else(|| Self::Lost {
            cause: error.to_string(),
        })
    }

    /// The connection ended, and nothing said why.
    pub(crate) fn lost_silently() -> Self {
        Self::Lost {
            cause: "it was closed".to_owned(),
        }
    }

    /// The same as [`CarrierError::Forward`] and its like, from the words of the node.
    ///
    /// Those words are made by the container runtime and have no code in them.
    pub(crate) fn from_node(message: String) -> Self {
        let lower = message.to_lowercase();
        let says = |any: &[&str]| any.iter().any(|phrase| lower.contains(phrase));
        if says(&["connection refused"]) {
            Self::PortRefused { message }
        } else if says(&[
            "failed to find sandbox",
            "not running",
            "could not find pod",
            "no such container",
        ]) {
            Self::PodGone { message }
        } else {
            Self::Forward { message }
        }
    }
}

impl From<CarrierError> for io::Error {
    fn from(error: CarrierError) -> Self {
        let kind = match &error {
            CarrierError::InvalidEndpoint { .. } | CarrierError::NoCommand => io::ErrorKind::InvalidInput,
            CarrierError::Credentials { .. }
            | CarrierError::Unauthorized { .. }
            | CarrierError::Forbidden { .. } => io::ErrorKind::PermissionDenied,
            CarrierError::Unreachable { .. } => io::ErrorKind::HostUnreachable,
            CarrierError::TimedOut { .. } => io::ErrorKind::TimedOut,
            CarrierError::PodNotFound { .. } => io::ErrorKind::NotFound,
            CarrierError::UpgradeRefused { .. } | CarrierError::PortRefused { .. } => {
                io::ErrorKind::ConnectionRefused
            }
            CarrierError::Protocol { .. } => io::ErrorKind::InvalidData,
            CarrierError::PodGone { .. } | CarrierError::Forward { .. } => io::ErrorKind::ConnectionAborted,
            CarrierError::Reset { .. } => io::ErrorKind::ConnectionReset,
            CarrierError::Lost { .. } => io::ErrorKind::UnexpectedEof,
        };
        io::Error::new(kind, error)
    }
}
