//! Refusals from errors of the system.

use nix::errno::Errno;
use slipway_helper_api::{HelperRefusal, Operation};

/// Returns and logs the refusal for an operation that the kernel refused.
pub(crate) fn kernel(operation: Operation, errno: Errno) -> HelperRefusal {
    tracing::warn!(%operation, %errno, "the kernel refused an operation");
    HelperRefusal::Kernel {
        operation,
        errno: errno as i32,
    }
}

/// Returns the error number of an I/O error, or EIO if it has none.
pub(crate) fn errno(error: &std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}
