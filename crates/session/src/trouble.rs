//! Reasons for a carrier to be missing.

use std::time::Duration;

use slipway_carrier::CarrierError;
use slipway_tunnel::{CarrierEnd, ProofError};

/// How long the first carrier may take, new attempts included.
pub(crate) const FIRST_CARRIER: Duration = Duration::from_secs(30);

/// Why there is no carrier.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// It could not be opened.
    #[error("it could not be opened: {0}")]
    Open(CarrierError),
    /// What answered is not our agent.
    #[error("what answered is not our agent: {0}")]
    Proof(ProofError),
    /// It was open and ended.
    #[error("it ended: {0}")]
    Ended(CarrierEnd),
    /// Nothing came of it in time.
    #[error("nothing came of it within {0:?}")]
    Slow(Duration),
}

impl Trouble {
    /// Whether another attempt cannot help while the user does nothing.
    pub(crate) fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Open(
                CarrierError::Forbidden { .. }
                    | CarrierError::Unauthorized { .. }
                    | CarrierError::Credentials { .. }
                    | CarrierError::InvalidEndpoint { .. }
            )
        )
    }

    /// Whether no further attempt can cure it: the agent is gone or is not ours.
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
