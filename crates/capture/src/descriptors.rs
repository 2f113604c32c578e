//! Descriptors of this process: their limit, and one in reserve for the moment in which there is no other.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use nix::sys::resource::{Resource, getrlimit};
use tokio::net::{TcpListener, TcpStream};

/// The number of descriptors that this process may have.
pub(crate) fn limit() -> u64 {
    // A limit that cannot be read shows in the kernel's errors.
    getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft)
}

/// Whether an error means that this process, or the whole system, has no descriptor left.
pub(crate) fn are_used_up(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// A descriptor in reserve. Without it, a connection that the kernel has established could be neither carried nor
/// closed, and its program would wait.
#[derive(Debug)]
pub(crate) struct Reserve(Mutex<Option<File>>);

impl Reserve {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(open()))
    }

    /// Accepts the next connection although there is no descriptor for it, and gives it to `refuse`, which drops it.
    /// Returns `false` if there was none, or no reserve.
    pub(crate) fn accept(&self, listener: &TcpListener, refuse: impl FnOnce(TcpStream, SocketAddr)) -> bool {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        drop(kept.take());
        let accepted = listener.poll_accept(&mut Context::from_waker(Waker::noop()));
        let is_accepted = match accepted {
            Poll::Ready(Ok((program, from))) => {
                refuse(program, from);
                true
            }
            Poll::Ready(Err(_)) | Poll::Pending => false,
        };
        *kept = open();
        is_accepted
    }
}

fn open() -> Option<File> {
    File::open("/dev/null").ok()
}
