//! Registration of descriptors with the runtime.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The events to wait for: data to read, or an error. A deleted device reports only the error.
pub(crate) const TO_READ: Interest = Interest::READABLE.add(Interest::ERROR);

#[expect(unsafe_code, reason = "Tokio wants a promise that no type can give")]
pub(crate) fn register(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an owned descriptor is open and stays the same until it is dropped, which the `AsyncFd` does itself.
    let registered = unsafe { AsyncFd::register_with_interest(descriptor, TO_READ) };
    registered.map_err(io::Error::from)
}
