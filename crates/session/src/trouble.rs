//! Reasons for which a carrier is missing.

use std::time::Duration;

use slipway_carrier::CarrierError;
use slipway_tunnel::{CarrierEnd, ProofError};

/// Limit of the wait for the first carrier, over all attempts.
pub(crate) const FIRST_CARRIER: Duration = Duration::from_secs(30);

/// Reason for which a carrier is missing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// The carrier could not be opened.
    #[error("the carrier could not be opened: {0}")]
    Open(CarrierError),
    /// The program that answered is not this session's agent.
    #[error("the program that answered is not this session's agent: {0}")]
    Proof(ProofError),
    /// The carrier was open and ended.
    #[error("the carrier ended: {0}")]
    Ended(CarrierEnd),
    /// The carrier was not open in time.
    #[error("the carrier was not open within {0:?}")]
    Slow(Duration),
}

impl Trouble {
    /// Returns whether attempts cannot succeed until the user does something.
    pub(crate) fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Open(
                CarrierError::Forbidden { .. }
                    | CarrierError::Login(_)
                    | CarrierError::InvalidEndpoint { .. }
            )
        )
    }

    /// Returns whether attempts cannot succeed until the user logs in again.
    pub(crate) fn is_refused_login(&self) -> bool {
        matches!(self, Self::Open(CarrierError::Login(_)))
    }

    /// Returns whether attempts cannot succeed because the agent is gone or is not this session's.
    pub(crate) fn is_lost_agent(&self) -> bool {
        match self {
            Trouble::Open(
                CarrierError::PodNotFound { .. }
                | CarrierError::PodGone { .. }
                | CarrierError::PortRefused { .. },
            ) => true,
            Trouble::Proof(ProofError::WrongKey | ProofError::NotATunnel | ProofError::Version { .. }) => {
                true
            }
            Trouble::Open(_) | Trouble::Proof(_) | Trouble::Ended(_) | Trouble::Slow(_) => false,
        }
    }
}
