//! Errors of plans.

/// Most networks of one lease, single addresses included.
pub const MAX_ROUTES: usize = 4352;

/// Most bytes of text that the suffixes of one plan may have together: with it every request fits a frame.
pub const MAX_SUFFIX_BYTES: usize = 12 * 1024;

/// Why a plan cannot be written down.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// More than [`MAX_ROUTES`] networks.
    #[error(
        "{given} networks are more than the {MAX_ROUTES} that one lease routes: drop the oldest unused addresses"
    )]
    TooManyRoutes {
        /// How many there were.
        given: usize,
    },
    /// More than [`MAX_SUFFIX_BYTES`] of names.
    #[error("{bytes} bytes of domains are more than the {MAX_SUFFIX_BYTES} of one plan: name fewer domains")]
    TooManySuffixes {
        /// Their length together.
        bytes: usize,
    },
    /// A search domain that would send the session names which it does not answer.
    #[error("the search domain {suffix} lies in none of the domains that the session answers")]
    SearchOutside {
        /// The domain.
        suffix: String,
    },
    /// A port that belongs to the system.
    #[error("port {port} is not for a session's resolver: listen on 1024 or above")]
    SystemPort {
        /// The port.
        port: u16,
    },
}
