//! TUN devices: creation, adoption, and reading and writing of one packet at a time without blocking.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;
use tokio::task::yield_now;
use tokio::time::timeout;

use crate::readiness::{TO_READ, register};

/// The longest IP packet, and the MTU that lets the kernels send it: with it TCP moves 64 KB for one system call.
pub(crate) const MAX_PACKET: usize = 65_535;

/// How many packets a pump reads before other tasks have their turn: a megabyte of the longest ones.
pub(crate) const BATCH: usize = 16;

/// How long [`LaptopTun::replace`] waits for the pump to let go.
const LET_GO_LIMIT: Duration = Duration::from_secs(1);

/// An open TUN without packet information.
#[derive(Debug)]
pub(crate) struct Tun {
    device: AsyncFd<OwnedFd>,
}

impl Tun {
    /// Takes over an open TUN.
    pub(crate) fn adopt(device: OwnedFd) -> io::Result<Self> {
        let flags = libc::c_int::from(interface_flags(device.as_fd())?);
        let wanted = libc::IFF_TUN | libc::IFF_NO_PI;
        if flags & (libc::IFF_TUN | libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR) != wanted {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "not a TUN without packet information",
            ));
        }
        let status = OFlag::from_bits_retain(fcntl(&device, FcntlArg::F_GETFL)?);
        fcntl(&device, FcntlArg::F_SETFL(status | OFlag::O_NONBLOCK))?;
        Ok(Self {
            device: register(device)?,
        })
    }

    /// The name of its interface.
    pub(crate) fn name(&self) -> String {
        name_of(self.device.as_fd())
    }

    /// Waits for packets and takes them one by one. After `most` of them other tasks have their turn.
    ///
    /// It is cancel safe: no packet is lost.
    ///
    /// # Errors
    /// When the device is gone.
    pub(crate) async fn take(
        &self,
        most: usize,
        buffer: &mut [u8],
        mut take: impl FnMut(&mut [u8]),
    ) -> io::Result<()> {
        let mut ready = self.device.ready(TO_READ).await?;
        for _ in 0..most {
            match nix::unistd::read(&self.device, buffer) {
                Ok(length) => take(buffer.get_mut(..length).unwrap_or_default()),
                Err(Errno::EAGAIN) => {
                    ready.clear_ready();
                    return Ok(());
                }
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        yield_now().await;
        Ok(())
    }

    /// Writes one packet. A packet that the kernel does not take at once is lost, as on any link.
    pub(crate) fn write(&self, packet: &[u8]) {
        if let Err(error) = nix::unistd::write(&self.device, packet) {
            tracing::trace!(%error, len = packet.len(), "the TUN took no packet");
        }
    }
}

/// Makes a TUN in the caller's network namespace. Closing it deletes it.
pub(crate) fn create(name: &str) -> Result<OwnedFd, CreateError> {
    let device = open().map_err(CreateError::Open)?;
    let mut request = interface_request();
    for (to, from) in request
        .ifr_name
        .iter_mut()
        .zip(name.bytes().take(libc::IFNAMSIZ - 1))
    {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    request.ifr_ifru.ifru_flags = short(libc::IFF_TUN | libc::IFF_NO_PI);
    set_interface(device.as_fd(), &request).map_err(CreateError::Make)?;
    Ok(device.into())
}

/// Opens the file through which TUNs are made. Until it is attached, no device exists.
pub(crate) fn open() -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open("/dev/net/tun")
}

/// Makes a TUN that [`crate::Capture::start`] takes, in the caller's network namespace, for a caller with
/// `CAP_NET_ADMIN` there. It still needs addresses, an MTU of 65535 and routes. Closing it deletes it.
///
/// # Errors
/// The kernel's error from opening `/dev/net/tun` or from making the device.
pub fn make_tun(name: &str) -> io::Result<OwnedFd> {
    create(name).map_err(|(CreateError::Open(error) | CreateError::Make(error))| error)
}

/// The name of a TUN's interface; empty if the kernel does not tell.
pub(crate) fn name_of(device: BorrowedFd<'_>) -> String {
    let name = interface(device)
        .map(|request| request.ifr_name)
        .unwrap_or_default();
    let octets = name.iter().take_while(|octet| **octet != 0);
    octets.map(|octet| char::from(octet.to_ne_bytes()[0])).collect()
}

/// Why a TUN was not made.
#[derive(Debug)]
pub(crate) enum CreateError {
    /// `/dev/net/tun` did not open.
    Open(io::Error),
    /// The device was refused.
    Make(io::Error),
}

/// The TUN on the laptop's side, which can be detached and replaced while packets flow.
#[derive(Debug)]
pub(crate) struct LaptopTun {
    current: watch::Sender<Option<Arc<Tun>>>,
    /// How many times the pump released a TUN. Only the pump holds one for longer than one packet.
    let_go: watch::Sender<u64>,
}

impl LaptopTun {
    pub(crate) fn new(tun: Tun) -> Self {
        Self {
            current: watch::Sender::new(Some(Arc::new(tun))),
            let_go: watch::Sender::new(0),
        }
    }

    /// Writes one packet, if there is a TUN.
    pub(crate) fn write(&self, packet: &[u8]) {
        if let Some(tun) = &*self.current.borrow() {
            tun.write(packet);
        }
    }

    /// Replaces the TUN by another or none. The former is closed when this returns.
    pub(crate) async fn replace(&self, tun: Option<Tun>) {
        let mut let_go = self.let_go.subscribe();
        let before = self.current.send_replace(tun.map(Arc::new));
        let Some(before) = before else { return };
        let closed = Arc::downgrade(&before);
        drop(before);
        let pump_lets_go = async { while closed.strong_count() > 0 && let_go.changed().await.is_ok() {} };
        if timeout(LET_GO_LIMIT, pump_lets_go).await.is_err() {
            tracing::warn!("the pump still holds the TUN that was replaced");
        }
    }

    /// Detaches the TUN, which is closed as soon as the pump notices.
    pub(crate) fn end(&self) {
        drop(self.current.send_replace(None));
    }

    /// Detaches a TUN that broke, unless it was replaced already.
    pub(crate) fn discard(&self, broken: &Arc<Tun>) {
        self.current.send_if_modified(|current| {
            let is_it = current.as_ref().is_some_and(|tun| Arc::ptr_eq(tun, broken));
            if is_it {
                *current = None;
            }
            is_it
        });
    }

    /// For the pump: the TUN to read, with each change.
    pub(crate) fn watch(&self) -> watch::Receiver<Option<Arc<Tun>>> {
        self.current.subscribe()
    }

    /// For the pump: notes that it released its TUN.
    pub(crate) fn note_let_go(&self) {
        self.let_go.send_modify(|times| *times += 1);
    }
}

/// Flags of an interface fit their 16 bits, by the kernel's definition.
fn short(flags: libc::c_int) -> libc::c_short {
    libc::c_short::try_from(flags).unwrap_or_default()
}

fn interface_request() -> libc::ifreq {
    libc::ifreq {
        ifr_name: [0; libc::IFNAMSIZ],
        ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_map: NO_MAP },
    }
}

/// The largest member of the request's union: naming it zeroes all of it.
const NO_MAP: libc::__c_anonymous_ifru_map = libc::__c_anonymous_ifru_map {
    mem_start: 0,
    mem_end: 0,
    base_addr: 0,
    irq: 0,
    dma: 0,
    port: 0,
};

#[expect(
    unsafe_code,
    reason = "no safe wrapper makes a TUN without more dependencies than this call"
)]
fn set_interface(device: BorrowedFd<'_>, request: &libc::ifreq) -> io::Result<()> {
    // SAFETY: the request is a whole `ifreq` that lives over the call, which is all that TUNSETIFF reads and
    // writes; writing would need `&mut`, so it gets a copy.
    let result = unsafe {
        let mut request = *request;
        libc::ioctl(device.as_raw_fd(), libc::TUNSETIFF, &raw mut request)
    };
    Errno::result(result)?;
    Ok(())
}

#[expect(unsafe_code, reason = "flags are in a union")]
fn interface_flags(device: BorrowedFd<'_>) -> io::Result<libc::c_short> {
    let request = interface(device)?;
    // SAFETY: TUNGETIFF has set the flags; any bits are a valid integer.
    Ok(unsafe { request.ifr_ifru.ifru_flags })
}

#[expect(unsafe_code, reason = "no safe wrapper asks a TUN for its name and flags")]
fn interface(device: BorrowedFd<'_>) -> io::Result<libc::ifreq> {
    let mut request = interface_request();
    // SAFETY: TUNGETIFF writes one `ifreq`, to which the pointer leads.
    let result = unsafe { libc::ioctl(device.as_raw_fd(), libc::TUNGETIFF, &raw mut request) };
    Errno::result(result)?;
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_tun_is_adopted() {
        let (socket, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(Tun::adopt(socket.into()).is_err());
    }
}
