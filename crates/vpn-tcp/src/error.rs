//! Errors of the method, at the start and later.

use std::io;
use std::time::Duration;

use slipway_capture::CaptureError;
use slipway_helper_api::HelperRefusal;
use slipway_helper_client::{ClientError, refusal_remedy};
use slipway_problem::{Action, Fault};

/// Time limit for the return of a helper that ended.
pub const HELPER_RETURNS_WITHIN: Duration = Duration::from_secs(10);

/// Error of the start, which has left nothing behind.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VpnTcpError {
    /// The helper does not run, or the connection to it failed.
    #[error(transparent)]
    Helper(#[from] ClientError),
    /// The helper refused the lease.
    #[error("{0}")]
    Refused(HelperRefusal),
    /// The capture of packets could not start.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// No port on loopback is free for the DNS listener.
    #[error("no port of 127.0.0.1 is free for Slipway's DNS server")]
    Listener(#[source] io::Error),
    /// A test question to the laptop's resolver did not arrive.
    #[error("the laptop's programs do not ask Slipway for names: a question by {mode} did not arrive")]
    NamesDoNotArrive {
        /// DNS mode by which it should have arrived.
        mode: String,
    },
}

impl Fault for VpnTcpError {
    fn code(&self) -> &str {
        match self {
            VpnTcpError::Helper(error) => error.code(),
            VpnTcpError::Refused(refusal) => refusal.code(),
            VpnTcpError::Capture(
                CaptureError::TunDeviceMissing { .. } | CaptureError::TunDeviceNotPermitted { .. },
            ) => "no-tun-device",
            VpnTcpError::Capture(_) => "capture-failed",
            VpnTcpError::Listener(_) => "no-dns-port",
            VpnTcpError::NamesDoNotArrive { .. } => "dns-self-test",
        }
    }

    fn remedy(&self) -> String {
        match self {
            VpnTcpError::Helper(error) => error.remedy(),
            VpnTcpError::Refused(refusal) => refusal_remedy(refusal).into_owned(),
            VpnTcpError::Capture(error) => error.remedy(),
            VpnTcpError::Listener(_) => "End a program that uses many ports, then connect again.".to_owned(),
            VpnTcpError::NamesDoNotArrive { .. } => {
                "Stop the other program that answers DNS questions first; `slipway doctor` shows the resolver in use."
                    .to_owned()
            }
        }
    }

    fn actions(&self) -> Vec<Action> {
        match self {
            VpnTcpError::NamesDoNotArrive { .. } => vec![doctor()],
            VpnTcpError::Helper(error) => error.actions(),
            VpnTcpError::Refused(_) | VpnTcpError::Capture(_) | VpnTcpError::Listener(_) => Vec::new(),
        }
    }
}

/// Reason why a connected laptop is no longer connected.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Ended {
    /// The helper ended and did not come back in time.
    #[error("slipway-helper ended and did not come back")]
    HelperGone(#[source] VpnTcpError),
    /// The private namespace's process ended.
    #[error("the process that holds the private network namespace ended")]
    NamespaceGone,
}

impl Fault for Ended {
    fn code(&self) -> &str {
        match self {
            Ended::HelperGone(_) => "helper-gone",
            Ended::NamespaceGone => "namespace-gone",
        }
    }

    fn remedy(&self) -> String {
        match self {
            Ended::HelperGone(_) => {
                "Connect again; `slipway doctor` shows whether the helper runs.".to_owned()
            }
            Ended::NamespaceGone => "Connect again; `slipway doctor` checks the laptop.".to_owned(),
        }
    }

    fn actions(&self) -> Vec<Action> {
        vec![doctor()]
    }
}

/// Problem while the session waits for a helper that ended.
#[derive(Debug, thiserror::Error)]
#[error(
    "slipway-helper ended. No program reaches the cluster until it is back; the session waits {} s for it",
    HELPER_RETURNS_WITHIN.as_secs()
)]
pub(crate) struct HelperAway;

impl Fault for HelperAway {
    fn code(&self) -> &str {
        "helper-away"
    }

    fn remedy(&self) -> String {
        "Start slipway-helper again.".to_owned()
    }

    fn actions(&self) -> Vec<Action> {
        vec![Action::StartHelper]
    }
}

pub(crate) fn doctor() -> Action {
    Action::Run {
        command: "slipway doctor".to_owned(),
    }
}
