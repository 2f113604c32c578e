//! What can go wrong on the laptop.

use std::io;
use std::time::Duration;

use slipway_capture::CaptureError;
use slipway_helper_api::HelperRefusal;
use slipway_helper_client::{ClientError, refusal_remedy};
use slipway_problem::{Action, Fault};

/// How long a helper that ended may take to come back.
pub const HELPER_RETURNS_WITHIN: Duration = Duration::from_secs(10);

/// Why the laptop could not be connected. Nothing of the attempt is left.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VpnTcpError {
    /// The helper does not run, or could not be understood.
    #[error(transparent)]
    Helper(#[from] ClientError),
    /// The helper refused.
    #[error("{0}")]
    Refused(HelperRefusal),
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
            VpnTcpError::Listener(_) => "End a program that holds many ports, then connect again.".to_owned(),
            VpnTcpError::NamesDoNotArrive { .. } => {
                "Another program answers names before us. Run `slipway doctor` for the resolver in use."
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

/// Why a connected laptop is not connected any more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Ended {
    /// The helper went and did not come back in time.
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
        "Connect again; `slipway doctor` shows whether the helper runs.".to_owned()
    }

    fn actions(&self) -> Vec<Action> {
        vec![doctor()]
    }
}

/// The helper is gone for now.
#[derive(Debug, thiserror::Error)]
#[error(
    "slipway-helper ended. Nothing reaches the cluster until it is back; the session waits {} s for it",
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
