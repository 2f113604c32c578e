//! TUN device of this machine: what helps where it does not open.

use std::io;

/// The device through which every TUN is made.
pub const TUN_DEVICE: &str = "/dev/net/tun";

/// What the user can do about a [`TUN_DEVICE`] that does not open with this error, in a sentence without a full stop.
#[must_use]
pub fn tun_remedy(error: &io::Error) -> &'static str {
    if error.kind() == io::ErrorKind::PermissionDenied {
        "its usual mode is 0666: `sudo chmod 0666 /dev/net/tun`"
    } else {
        "load the kernel's module with `sudo modprobe tun`; in a container, pass /dev/net/tun in"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_device_and_a_forbidden_one_have_different_remedies() {
        let remedy = |kind: io::ErrorKind| tun_remedy(&kind.into());
        assert!(remedy(io::ErrorKind::NotFound).contains("modprobe"));
        assert!(remedy(io::ErrorKind::PermissionDenied).contains("chmod"));
    }
}
