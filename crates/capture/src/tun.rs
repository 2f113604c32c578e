//! TUN devices: made, adopted, read and written one packet at a time, without waiting.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::eventfd::{EfdFlags, EventFd};

/// The longest IP packet, and the MTU that lets the kernels send it: with it TCP moves 64 KB for one system call.
pub(crate) const MAX_PACKET: usize = 65_535;

/// How long [`LaptopTun::replace`] waits for the pump to let go; it is woken for that and never blocks elsewhere.
const LET_GO_LIMIT: Duration = Duration::from_secs(1);

/// An open TUN without packet information, not blocking.
#[derive(Debug)]
pub(crate) struct Tun {
    device: OwnedFd,
}

impl Tun {
    /// Makes a TUN in the caller's network namespace. It goes when it is closed.
    pub(crate) fn create(name: &str) -> Result<Self, CreateError> {
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
        Ok(Self {
            device: device.into(),
        })
    }

    /// Takes a TUN that somebody else made.
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
        Ok(Self { device })
    }

    /// What its interface is called.
    pub(crate) fn name(&self) -> String {
        name_of(self.device.as_fd())
    }

    /// Reads one packet, or fails with [`io::ErrorKind::WouldBlock`].
    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(nix::unistd::read(&self.device, buffer)?)
    }

    /// Writes one packet. A packet that the kernel does not take now is lost, as on any wire.
    pub(crate) fn write(&self, packet: &[u8]) {
        if let Err(error) = nix::unistd::write(&self.device, packet) {
            tracing::trace!(%error, len = packet.len(), "packet lost at a TUN");
        }
    }
}

impl AsFd for Tun {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }
}

/// What every TUN is made through. Until it is attached to a device, nothing is made.
pub(crate) fn open() -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open("/dev/net/tun")
}

/// Makes a TUN that [`crate::Capture::start`] takes, in the caller's network namespace, for whoever may do that
/// there. It still wants addresses, an MTU of 65535 and routes, and goes when it is closed.
///
/// # Errors
/// What the kernel says to opening `/dev/net/tun` and to making the device.
pub fn make_tun(name: &str) -> io::Result<OwnedFd> {
    match Tun::create(name) {
        Ok(tun) => Ok(tun.device),
        Err(CreateError::Open(error) | CreateError::Make(error)) => Err(error),
    }
}

/// What the interface of a TUN is called, or nothing where that cannot be had.
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

/// The TUN on the program's side, which can be taken away and given anew while packets flow.
#[derive(Debug)]
pub(crate) struct LaptopTun {
    current: RwLock<Option<Arc<Tun>>>,
    /// Wakes the pump, which alone holds the TUN longer than for one packet.
    wake: EventFd,
    handover: Mutex<Handover>,
    let_go: Condvar,
}

#[derive(Debug, Default)]
struct Handover {
    asked: u64,
    done: u64,
    reader_gone: bool,
}

impl LaptopTun {
    pub(crate) fn new(tun: Tun) -> io::Result<Self> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        Ok(Self {
            current: RwLock::new(Some(Arc::new(tun))),
            wake: EventFd::from_flags(flags)?,
            handover: Mutex::default(),
            let_go: Condvar::new(),
        })
    }

    /// Writes one packet, if there is a TUN.
    pub(crate) fn write(&self, packet: &[u8]) {
        if let Some(tun) = &*self.current.read().unwrap_or_else(PoisonError::into_inner) {
            tun.write(packet);
        }
    }

    /// Puts another TUN, or none, in the place of the present one, which is closed when this returns.
    pub(crate) fn replace(&self, tun: Option<Tun>) {
        let before = std::mem::replace(
            &mut *self.current.write().unwrap_or_else(PoisonError::into_inner),
            tun.map(Arc::new),
        );
        drop(before);
        let mut handover = self.handover();
        handover.asked += 1;
        let asked = handover.asked;
        self.wake();
        let waiting = |handover: &mut Handover| handover.done < asked && !handover.reader_gone;
        drop(self.let_go.wait_timeout_while(handover, LET_GO_LIMIT, waiting));
    }

    /// Forgets a TUN that broke, unless it was replaced already.
    pub(crate) fn discard(&self, broken: &Arc<Tun>) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_some_and(|tun| Arc::ptr_eq(tun, broken)) {
            *current = None;
        }
    }

    /// Makes the pump look up from its packets.
    pub(crate) fn wake(&self) {
        // The only failure is a counter at its maximum: the pump is awake then.
        let _ = self.wake.write(1);
    }

    /// For the pump: readable when there is something else to see to than packets.
    pub(crate) fn woken(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// For the pump, which has let go of the TUN it held: the one to read from now on.
    pub(crate) fn take_over(&self) -> Option<Arc<Tun>> {
        let _ = self.wake.read();
        let asked = self.handover().asked;
        let current = self
            .current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        self.handover().done = asked;
        self.let_go.notify_all();
        current
    }

    /// For the pump: it ends, nobody needs to wait for it.
    pub(crate) fn reader_gone(&self) {
        self.handover().reader_gone = true;
        self.let_go.notify_all();
    }

    fn handover(&self) -> std::sync::MutexGuard<'_, Handover> {
        self.handover.lock().unwrap_or_else(PoisonError::into_inner)
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
    nix::errno::Errno::result(result)?;
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
    nix::errno::Errno::result(result)?;
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_tun_is_not_adopted() {
        let (socket, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(Tun::adopt(socket.into()).is_err());
    }
}
