//! Messages between the parent and the child: one in each packet of a `SOCK_SEQPACKET` pair, with at most one file
//! descriptor.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};

/// Longer than any message.
const MAX_MESSAGE: usize = 16;

/// The step of the setup at which the kernel returned an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Namespaces,
    MapUser,
    OpenTun,
    MakeTun,
    Links,
    Routes,
    Rules,
}

/// The child's first message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hello {
    /// The namespace is set up; its TUN comes with the message.
    Ready,
    /// A step failed with this `errno`.
    Failed(Step, i32),
}

/// The parent's request for a listener on a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) port: u16,
}

/// The child's reply. The listener comes with it if `errno` is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) port: u16,
    pub(super) errno: i32,
}

impl Step {
    const ALL: [Self; 7] = [
        Self::Namespaces,
        Self::MapUser,
        Self::OpenTun,
        Self::MakeTun,
        Self::Links,
        Self::Routes,
        Self::Rules,
    ];

    /// Completes "could not be set up while ...".
    pub(super) fn doing(self) -> &'static str {
        match self {
            Self::Namespaces => "making the namespaces",
            Self::MapUser => "mapping the user into it",
            Self::OpenTun => "opening /dev/net/tun",
            Self::MakeTun => "making its TUN",
            Self::Links => "bringing its links up",
            Self::Routes => "making every address local",
            Self::Rules => "ordering its routing tables",
        }
    }
}

impl Hello {
    pub(super) fn encode(self) -> Vec<u8> {
        match self {
            Self::Ready => vec![0],
            Self::Failed(step, errno) => {
                let code = Step::ALL
                    .iter()
                    .position(|known| *known == step)
                    .unwrap_or_default();
                let mut message = vec![u8::try_from(code + 1).unwrap_or(u8::MAX)];
                message.extend(errno.to_be_bytes());
                message
            }
        }
    }

    pub(super) fn decode(message: &[u8]) -> Option<Self> {
        match *message {
            [0] => Some(Self::Ready),
            [code, a, b, c, d] => {
                let step = *Step::ALL.get(usize::from(code).checked_sub(1)?)?;
                Some(Self::Failed(step, i32::from_be_bytes([a, b, c, d])))
            }
            _ => None,
        }
    }
}

impl Request {
    pub(super) fn encode(self) -> [u8; 2] {
        self.port.to_be_bytes()
    }

    pub(super) fn decode(message: &[u8]) -> Option<Self> {
        Some(Self {
            port: u16::from_be_bytes(message.try_into().ok()?),
        })
    }
}

impl Reply {
    pub(super) fn encode(self) -> Vec<u8> {
        [&self.port.to_be_bytes()[..], &self.errno.to_be_bytes()].concat()
    }

    pub(super) fn decode(message: &[u8]) -> Option<Self> {
        let [a, b, c, d, e, f] = *message else { return None };
        Some(Self {
            port: u16::from_be_bytes([a, b]),
            errno: i32::from_be_bytes([c, d, e, f]),
        })
    }
}

/// Sends one message.
pub(super) fn send(socket: BorrowedFd<'_>, message: &[u8], file: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let files = file.map(|file| [file.as_raw_fd()]);
    let rights = files.as_ref().map(|files| [ControlMessage::ScmRights(files)]);
    let parts = [IoSlice::new(message)];
    sendmsg::<()>(
        socket.as_raw_fd(),
        &parts,
        rights.as_ref().map_or(&[], |rights| &rights[..]),
        MsgFlags::MSG_NOSIGNAL,
        None,
    )?;
    Ok(())
}

/// Receives one message. An empty message means that the other side has closed its end.
pub(super) fn receive(socket: BorrowedFd<'_>) -> io::Result<(Vec<u8>, Option<OwnedFd>)> {
    let mut message = vec![0; MAX_MESSAGE];
    let mut space = nix::cmsg_space!([std::os::fd::RawFd; 1]);
    let mut parts = [IoSliceMut::new(&mut message)];
    let received = recvmsg::<()>(
        socket.as_raw_fd(),
        &mut parts,
        Some(&mut space),
        MsgFlags::MSG_CMSG_CLOEXEC,
    )?;
    let len = received.bytes;
    let mut file = None;
    for control in received.cmsgs()? {
        if let ControlMessageOwned::ScmRights(files) = control {
            file = files.into_iter().map(own).next_back();
        }
    }
    message.truncate(len);
    Ok((message, file))
}

#[expect(unsafe_code, reason = "the kernel hands files over as numbers")]
fn own(file: std::os::fd::RawFd) -> OwnedFd {
    // SAFETY: the number was just received with SCM_RIGHTS: it is open and has no other owner.
    unsafe { OwnedFd::from_raw_fd(file) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
    use proptest::prelude::*;
    use std::os::fd::AsFd;

    #[test]
    fn every_message_reads_as_it_was_written() {
        for hello in Step::ALL
            .map(|step| Hello::Failed(step, libc::EPERM))
            .into_iter()
            .chain([Hello::Ready])
        {
            assert_eq!(Hello::decode(&hello.encode()), Some(hello));
        }
        let request = Request { port: 443 };
        assert_eq!(Request::decode(&request.encode()), Some(request));
        let reply = Reply {
            port: 443,
            errno: libc::EMFILE,
        };
        assert_eq!(Reply::decode(&reply.encode()), Some(reply));
    }

    #[test]
    fn a_file_comes_along_and_the_end_is_an_empty_message() {
        let (a, b) = socketpair(
            AddressFamily::Unix,
            SockType::SeqPacket,
            None,
            SockFlag::SOCK_CLOEXEC,
        )
        .unwrap();
        send(a.as_fd(), b"with", Some(a.as_fd())).unwrap();
        send(a.as_fd(), b"without", None).unwrap();
        let (message, file) = receive(b.as_fd()).unwrap();
        assert_eq!(message, b"with");
        assert!(file.is_some());
        drop(file);
        let (message, file) = receive(b.as_fd()).unwrap();
        assert_eq!((&message[..], file.is_none()), (&b"without"[..], true));
        drop(a);
        assert!(receive(b.as_fd()).unwrap().0.is_empty());
    }

    proptest! {
        #[test]
        fn garbage_is_refused_without_panic(message in proptest::collection::vec(any::<u8>(), 0..16)) {
            let _ = (Hello::decode(&message), Request::decode(&message), Reply::decode(&message));
        }
    }
}
