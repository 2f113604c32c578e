//! What can go wrong on the laptop.

use std::io;

use slipway_capture::CaptureError;
use slipway_helper_api::{ClientError, Refusal};

/// Why the laptop could not be connected. Nothing of the attempt is left.
#[derive(Debug, thiserror::Error)]
pub enum VpnTcpError {
    /// The helper does not run, or could not be understood.
    #[error(transparent)]
    Helper(#[from] ClientError),
    /// The helper refused.
    #[error(transparent)]
    Refused(Refusal),
    /// Packets could not be captured.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// No port of the loopback could be taken for names.
    #[error("no port of 127.0.0.1 is free for names")]
    Listener(#[source] io::Error),
    /// The laptop's resolver does not lead to us.
    #[error("the laptop's programs do not ask Slipway for names: a question by {way} did not arrive")]
    NamesDoNotArrive {
        /// How it should have come.
        way: String,
    },
}

impl VpnTcpError {
    /// A word for scripts that never changes.
    pub fn code(&self) -> &'static str {
        match self {
            VpnTcpError::Helper(ClientError::NoHelper(_)) => "no-helper",
            VpnTcpError::Refused(Refusal::VersionMismatch { .. })
            | VpnTcpError::Helper(ClientError::Refused(Refusal::VersionMismatch { .. })) => "helper-version",
            VpnTcpError::Refused(Refusal::NotAuthorised { .. })
            | VpnTcpError::Helper(ClientError::Refused(Refusal::NotAuthorised { .. })) => {
                "helper-not-authorised"
            }
            VpnTcpError::Helper(_) => "helper-failed",
            VpnTcpError::Refused(Refusal::NoTunDevice { .. }) => "no-tun-device",
            VpnTcpError::Refused(Refusal::DnsUnavailable(_)) => "dns-unavailable",
            VpnTcpError::Refused(_) => "helper-refused",
            VpnTcpError::Capture(_) => "capture-failed",
            VpnTcpError::Listener(_) => "no-dns-port",
            VpnTcpError::NamesDoNotArrive { .. } => "dns-self-test",
        }
    }

    /// What the user can do where the message does not say it already.
    pub fn remedy(&self) -> &'static str {
        match self {
            VpnTcpError::Helper(ClientError::NoHelper(_)) => {
                "Start it with `sudo systemctl start slipway-helper`, or by hand with \
                 `sudo slipway-helper --socket PATH --allow-uid UID` and SLIPWAY_HELPER_SOCKET=PATH."
            }
            VpnTcpError::Helper(_) | VpnTcpError::Refused(_) | VpnTcpError::Capture(_) => {
                "Run `slipway doctor`: it shows which part of the laptop is in the way."
            }
            VpnTcpError::Listener(_) => "End a program that holds many ports, then connect again.",
            VpnTcpError::NamesDoNotArrive { .. } => {
                "Another program answers names before us. Run `slipway doctor` for the resolver in use."
            }
        }
    }
}

/// Why a connected laptop is not connected any more.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// The helper went and did not come back in time.
    #[error("slipway-helper ended and did not come back")]
    HelperGone(#[source] VpnTcpError),
    /// The private namespace's process ended.
    #[error("the process that holds the private network namespace ended")]
    NamespaceGone,
}
