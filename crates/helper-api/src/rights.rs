//! File descriptors over a Unix socket (`SCM_RIGHTS`, unix(7)).

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::sys::socket::{ControlMessage, MsgFlags, recvmsg, sendmsg};
use tokio::io::Interest;
use tokio::net::UnixStream;

/// Maximum number of descriptors with one frame: a TUN, and sockets to three name servers.
pub const MAX_FDS: usize = 16;

/// Sends a frame, with its descriptors on its first byte.
///
/// # Errors
/// Errors of the socket, and [`io::ErrorKind::InvalidInput`] for more than [`MAX_FDS`] descriptors.
pub async fn send(stream: &UnixStream, frame: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    if fds.len() > MAX_FDS {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let raw: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let mut control: &[RawFd] = &raw;
    let mut rest = frame;
    while !rest.is_empty() {
        let sent = stream
            .async_io(Interest::WRITABLE, || send_once(stream, rest, control))
            .await?;
        // The descriptors left with the first byte.
        control = &[];
        rest = rest.get(sent..).unwrap_or_default();
    }
    Ok(())
}

/// Receives bytes, and appends the descriptors that came with them to `fds`. Returns 0 if the peer closed the
/// connection.
///
/// # Errors
/// Errors of the socket, and [`io::ErrorKind::InvalidData`] if more than [`MAX_FDS`] descriptors came, so some were
/// lost.
pub async fn receive(stream: &UnixStream, bytes: &mut [u8], fds: &mut Vec<OwnedFd>) -> io::Result<usize> {
    stream
        .async_io(Interest::READABLE, || receive_once(stream, bytes, fds))
        .await
}

fn send_once(stream: &UnixStream, bytes: &[u8], fds: &[RawFd]) -> io::Result<usize> {
    let rights = [ControlMessage::ScmRights(fds)];
    let control: &[ControlMessage<'_>] = if fds.is_empty() { &[] } else { &rights };
    // MSG_NOSIGNAL: a closed connection is an error, not a signal.
    let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
    Ok(sendmsg::<()>(
        stream.as_fd().as_raw_fd(),
        &[IoSlice::new(bytes)],
        control,
        flags,
        None,
    )?)
}

fn receive_once(stream: &UnixStream, bytes: &mut [u8], fds: &mut Vec<OwnedFd>) -> io::Result<usize> {
    let mut space = nix::cmsg_space!([RawFd; MAX_FDS]);
    let mut parts = [IoSliceMut::new(bytes)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC | MsgFlags::MSG_DONTWAIT;
    let message = recvmsg::<()>(stream.as_fd().as_raw_fd(), &mut parts, Some(&mut space), flags)?;
    // Take the descriptors before the check for lost ones, so that they are closed on error.
    let cut = message.flags.contains(MsgFlags::MSG_CTRUNC);
    let read = message.bytes;
    for control in message.cmsgs()? {
        if let nix::sys::socket::ControlMessageOwned::ScmRights(raw) = control {
            fds.extend(raw.into_iter().map(adopt));
        }
    }
    if cut {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(read)
}

#[expect(unsafe_code, reason = "SCM_RIGHTS delivers descriptors as plain numbers")]
fn adopt(raw: RawFd) -> OwnedFd {
    use std::os::fd::FromRawFd;
    // SAFETY: recvmsg has just opened this descriptor, and no other code knows its number.
    unsafe { OwnedFd::from_raw_fd(raw) }
}
