//! Errors of plans.

/// Maximum number of networks wider than one address in a lease.
pub const MAX_RANGES: usize = 256;

/// Maximum number of single addresses in a lease.
pub const MAX_ADDRESSES: usize = 4096;

/// Maximum number of networks of one lease, single addresses included.
pub const MAX_ROUTES: usize = MAX_RANGES + MAX_ADDRESSES;

/// Maximum length of all suffixes of a plan in bytes. It makes every request fit a frame.
pub const MAX_SUFFIX_BYTES: usize = 12 * 1024;

/// Reason why a plan is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// More than [`MAX_ROUTES`] networks.
    #[error(
        "{given} networks exceed the {MAX_ROUTES} that one lease may have: drop the oldest unused addresses"
    )]
    TooManyRoutes {
        /// Number of networks.
        given: usize,
    },
    /// More than [`MAX_SUFFIX_BYTES`] bytes of domains.
    #[error("{bytes} bytes of domains exceed the {MAX_SUFFIX_BYTES} of one plan: name fewer domains")]
    TooManySuffixes {
        /// Total length of the domains.
        bytes: usize,
    },
    /// A search domain outside the zones: the session would get names that it does not answer.
    #[error("the session does not answer names below the search domain {suffix}")]
    SearchOutside {
        /// The search domain.
        suffix: String,
    },
    /// A port below 1024, which belongs to the system.
    #[error("a session's resolver cannot listen on port {port}: use a port from 1024 on")]
    SystemPort {
        /// The port.
        port: u16,
    },
}
