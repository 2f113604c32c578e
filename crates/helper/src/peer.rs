//! Who is at the other end of a connection, as the kernel says.

use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{getsockopt, sockopt};
use tokio::net::UnixStream;

/// The process that connected.
#[derive(Debug)]
pub(crate) struct Peer {
    /// Its user.
    pub(crate) uid: u32,
    /// Its number when it connected.
    pub(crate) pid: u32,
    /// A hold on it, from Linux 6.5 on: with it a number that went to another process meanwhile is noticed.
    pub(crate) pidfd: Option<OwnedFd>,
}

impl Peer {
    /// Asks the kernel.
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

    /// Whether it surely ended: its descriptor is readable then (pidfd_open(2)).
    pub(crate) fn has_ended(&self) -> bool {
        self.pidfd.as_ref().is_some_and(|pidfd| {
            let mut ended = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
            poll(&mut ended, PollTimeout::ZERO) != Ok(0)
        })
    }
}
