//! TUN device of the laptop, and the remedies if it does not open.

use std::io;

/// Device file through which every TUN is made.
pub const TUN_DEVICE: &str = "/dev/net/tun";

/// Returns what the user can do if opening [`TUN_DEVICE`] failed with this error, as a sentence without a period.
#[must_use]
pub fn tun_remedy(error: &io::Error) -> &'static str {
    if error.kind() == io::ErrorKind::PermissionDenied {
        "restore its usual mode with `sudo chmod 0666 /dev/net/tun`"
    } else {
        "load the kernel module with `sudo modprobe tun`; in a container, pass /dev/net/tun to it"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_and_forbidden_devices_have_own_remedies() {
        let remedy = |kind: io::ErrorKind| tun_remedy(&kind.into());
        assert!(remedy(io::ErrorKind::NotFound).contains("modprobe"));
        assert!(remedy(io::ErrorKind::PermissionDenied).contains("chmod"));
    }
}
