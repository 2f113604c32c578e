//! TUN devices, made with the ioctl `TUNSETIFF`.

use std::ffi::CStr;
use std::fs::OpenOptions;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use nix::errno::Errno;
use nix::net::if_::if_nametoindex;
use slipway_helper_api::{HelperRefusal, Operation};

use crate::refuse::kernel;

/// New TUN device. It ends with its last descriptor.
#[derive(Debug)]
pub(crate) struct Tun {
    /// Descriptor, non-blocking. Each read or write is one packet without a header.
    pub(crate) fd: OwnedFd,
    /// Interface name, chosen by the kernel.
    pub(crate) name: String,
    /// Interface index.
    pub(crate) index: u32,
}

impl Tun {
    /// Makes a device.
    pub(crate) fn open() -> Result<Self, HelperRefusal> {
        let device = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open("/dev/net/tun")
            .map_err(|error| HelperRefusal::NoTunDevice {
                errno: error.raw_os_error().unwrap_or_default(),
            })?;
        let name = attach(&device).map_err(|errno| {
            // The device node exists, but its driver does not.
            if errno == Errno::ENODEV || errno == Errno::ENXIO {
                return HelperRefusal::NoTunDevice { errno: errno as i32 };
            }
            kernel(Operation::CreateTun, errno)
        })?;
        let index = if_nametoindex(name.as_str()).map_err(|errno| kernel(Operation::CreateTun, errno))?;
        Ok(Self {
            fd: device.into(),
            name,
            index,
        })
    }
}

mod ioctl {
    nix::ioctl_readwrite_bad!(tun_set_iff, libc::TUNSETIFF, libc::ifreq);
}

/// Attaches a new device to the descriptor and returns its name. The kernel fills in the number, and `IFF_TUN_EXCL`
/// prevents taking over another program's persistent device of that name.
#[expect(unsafe_code, reason = "TUNSETIFF has no safe wrapper")]
fn attach(device: &impl AsRawFd) -> Result<String, Errno> {
    // SAFETY: ifreq is plain integers and bytes, for all of which zero is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(NAME_TEMPLATE.to_bytes()) {
        *to = libc::c_char::from_ne_bytes([*from]);
    }
    let flags = libc::IFF_TUN | libc::IFF_NO_PI | libc::IFF_TUN_EXCL;
    request.ifr_ifru.ifru_flags =
        i16::from_ne_bytes(u16::try_from(flags).map_err(|_| Errno::EINVAL)?.to_ne_bytes());
    // SAFETY: the descriptor is open, and the kernel reads and writes exactly one ifreq, which `request` is.
    unsafe { ioctl::tun_set_iff(device.as_raw_fd(), &raw mut request) }?;
    let bytes: Vec<u8> = request
        .ifr_name
        .iter()
        .flat_map(|byte| byte.to_ne_bytes())
        .collect();
    let name = CStr::from_bytes_until_nul(&bytes).map_err(|_| Errno::EINVAL)?;
    name.to_str().map(str::to_owned).map_err(|_| Errno::EINVAL)
}

const NAME_TEMPLATE: &CStr = c"slipway%d";
