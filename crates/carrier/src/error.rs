//! Errors of opening and using a carrier.

use std::{fmt, io};

use http::StatusCode;
use slipway_api_server::login::LoginError;

/// Reason for which a carrier could not be opened, or ended.
///
/// Reads and writes of a [`Pipe`](crate::Pipe) return it inside an [`io::Error`]; see [`CarrierError::of`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CarrierError {
    /// The endpoint is invalid. Nothing was sent.
    #[error("{field} of a carrier's endpoint is not valid: {value:?}")]
    InvalidEndpoint {
        /// Name of the field.
        field: &'static str,
        /// Value of the field.
        value: String,
    },
    /// The API server does not accept the credentials, or there are none to send.
    #[error("the login to the API server failed: {0}")]
    Login(LoginError),
    /// The API server, or the proxy in front of it, could not be reached (address, TLS).
    #[error("the API server cannot be reached: {cause}")]
    Unreachable {
        /// Description of the failure.
        cause: String,
    },
    /// A peer did not answer in time.
    #[error("{wait} took too long")]
    TimedOut {
        /// The wait that ended.
        wait: Wait,
    },
    /// 403: the user lacks a permission. The message names user, verb, resource and namespace.
    #[error("a permission on {resource} is missing, `create` or `get`: {message}")]
    Forbidden {
        /// Message of the API server.
        message: String,
        /// Resource for which this kind of carrier needs a permission.
        resource: &'static str,
    },
    /// 404: the pod does not exist, or no longer.
    #[error("the pod is gone: {message}")]
    PodNotFound {
        /// Message of the API server.
        message: String,
    },
    /// The API server, or a proxy in front of it, refused to switch to the protocol of this kind.
    #[error("the API server or a proxy refused the upgrade with {status}: {message}")]
    UpgradeRefused {
        /// HTTP status of the answer.
        status: StatusCode,
        /// Body of the answer, or the message of the Status in it, cut to a readable length.
        message: String,
    },
    /// An exec carrier was requested for an endpoint without a command.
    #[error("an exec carrier needs a command, but the endpoint has none")]
    NoCommand,
    /// The API server or the node violated the protocol.
    #[error("the connection to the API server violated the protocol: {what}")]
    Protocol {
        /// Description of the violation.
        what: &'static str,
    },
    /// The pod runs, but no program listens on the port.
    #[error("no program in the pod listens on the port: {message}")]
    PortRefused {
        /// Message of the node.
        message: String,
    },
    /// The pod or its network ended while the carrier was in use.
    #[error("the pod ended: {message}")]
    PodGone {
        /// Message of the node.
        message: String,
    },
    /// The node, or the command of an exec carrier, closed the carrier for another reason.
    #[error("the node closed the carrier: {message}")]
    Forward {
        /// Message of the node.
        message: String,
    },
    /// The node reset the data stream without a message.
    #[error("the node reset the carrier (SPDY status {status})")]
    Reset {
        /// Status code of SPDY, section 2.6.3.
        status: u32,
    },
    /// The connection ended before the data stream.
    #[error("the connection to the API server was lost: {cause}")]
    Lost {
        /// Description of the end.
        cause: String,
    },
}

/// Wait with a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// TCP and TLS to the API server: [`CONNECT_TIMEOUT`](slipway_api_server::client::CONNECT_TIMEOUT).
    Connect,
    /// The same with a proxy in front of the API server, which did not say that it has connected to it.
    Proxy,
    /// Time from the request to the switch of protocols: [`UPGRADE_TIMEOUT`](crate::UPGRADE_TIMEOUT).
    Upgrade,
    /// Body of an answer that refuses the upgrade.
    Refusal,
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Wait::Connect => "connecting to the API server",
            Wait::Proxy => "connecting through the proxy in front of the API server",
            Wait::Upgrade => "switching to the carrier's protocol",
            Wait::Refusal => "reading the API server's refusal",
        })
    }
}

impl CarrierError {
    /// Returns the carrier's error inside an error of a read or write of a pipe; `None` for other I/O errors, such as a
    /// reset of the TCP connection.
    pub fn of(error: &io::Error) -> Option<&CarrierError> {
        error.get_ref()?.downcast_ref()
    }

    /// Converts an error of a read from the connection.
    pub(crate) fn lost(error: &io::Error) -> Self {
        Self::of(error).cloned().unwrap_or_else(|| Self::Lost {
            cause: error.to_string(),
        })
    }

    /// Returns the error for a connection that ended without a reason.
    pub(crate) fn lost_silently() -> Self {
        Self::Lost {
            cause: "it was closed".to_owned(),
        }
    }

    /// Chooses between [`CarrierError::Forward`], [`CarrierError::PortRefused`] and [`CarrierError::PodGone`] by the
    /// message of the node.
    ///
    /// The container runtime writes the message, and it contains no code.
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
            CarrierError::Login(_) | CarrierError::Forbidden { .. } => io::ErrorKind::PermissionDenied,
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
