//! Peer of a connection: its process and user, from the kernel.

use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{getsockopt, sockopt};
use tokio::net::UnixStream;

/// Process that connected.
#[derive(Debug)]
pub(crate) struct Peer {
    /// User ID.
    pub(crate) uid: u32,
    /// Process ID at the time of the connection.
    pub(crate) pid: u32,
    /// Process descriptor, from Linux 6.5 on. It shows whether the process ended and another one may have its ID.
    pub(crate) pidfd: Option<OwnedFd>,
}

impl Peer {
    /// Reads the peer's credentials from the socket.
    pub(crate) fn of(stream: &UnixStream) -> Result<Self, Errno> {
        let credentials = getsockopt(stream, sockopt::PeerCredentials)?;
        let pid = u32::try_from(credentials.pid()).map_err(|_| Errno::ESRCH)?;
        let pidfd = getsockopt(stream, sockopt::PeerPidfd).ok();
        Ok(Self {
            uid: credentials.uid(),
            pid,
            pidfd,
        })
    }

    /// Returns whether the process is known to have ended: then its descriptor is readable (pidfd_open(2)).
    pub(crate) fn has_ended(&self) -> bool {
        self.pidfd.as_ref().is_some_and(|pidfd| {
            let mut ended = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
            poll(&mut ended, PollTimeout::ZERO) != Ok(0)
        })
    }
}
