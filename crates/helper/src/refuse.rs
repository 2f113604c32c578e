//! From the system's errors to what the client is told.

use nix::errno::Errno;
use slipway_helper_api::{HelperRefusal, Operation};

/// The kernel did not do that.
pub(crate) fn kernel(operation: Operation, errno: Errno) -> HelperRefusal {
    tracing::warn!(%operation, %errno, "the kernel refused");
    HelperRefusal::Kernel {
        operation,
        errno: errno as i32,
    }
}

/// The kernel's number for an I/O error, or EIO for one that has none.
pub(crate) fn errno(error: &std::io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}
