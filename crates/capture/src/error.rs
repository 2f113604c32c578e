//! What keeps a capture from starting, each with what to do about it.

use std::fmt;
use std::io;

/// Why [`crate::Capture::start`] failed.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The kernel refuses this user a user and network namespace. Capture by rewriting is what is left, where the
    /// TUN's addresses are known.
    #[error("the kernel refused a private network namespace ({source}); {remedy}")]
    NamespacesRefused {
        /// What switched them off, and so what switches them on.
        remedy: NamespaceRemedy,
        /// The kernel's answer.
        source: io::Error,
    },
    /// There is no `/dev/net/tun`.
    #[error("/dev/net/tun is missing ({source}); load the kernel's module with: modprobe tun")]
    TunDeviceMissing {
        /// The kernel's answer.
        source: io::Error,
    },
    /// `/dev/net/tun` is not for this user.
    #[error(
        "this user may not open /dev/net/tun ({source}); its usual mode lets everybody: chmod 0666 /dev/net/tun"
    )]
    TunDeviceNotPermitted {
        /// The kernel's answer.
        source: io::Error,
    },
    /// The namespace was made, but could not be furnished.
    #[error(
        "the private network namespace could not be set up while {step} ({source}); the kernel lacks it or a policy forbids it"
    )]
    NamespaceSetup {
        /// What was being done.
        step: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The child process could not be run, or ended or stayed silent before it said anything.
    #[error(
        "the private namespace's process did not start ({source}); is this binary asking child_main_if_asked() first thing in main?"
    )]
    ChildNotStarted {
        /// What happened.
        source: io::Error,
    },
    /// Rewritten packets do not arrive at the laptop's own address in the TUN.
    #[error(
        "connections that come in by the TUN do not arrive ({source}): a firewall of the laptop drops them; let them in, with ufw: ufw allow in on {device}, with firewalld: firewall-cmd --zone=trusted --add-interface={device}"
    )]
    RewritingBlocked {
        /// The TUN's name.
        device: String,
        /// What became of the attempt.
        source: io::Error,
    },
    /// Neither back end can be had. Curing one cause is enough.
    #[error("{refused}. Rewriting packets instead does not work either: {blocked}")]
    NoBackEnd {
        /// Why there is no private namespace.
        refused: Box<CaptureError>,
        /// Why there is no rewriting.
        blocked: Box<CaptureError>,
    },
    /// The TUN that was given cannot be used.
    #[error("the TUN cannot be used ({source}); it has to be an open TUN device without packet information")]
    Tun {
        /// The kernel's answer.
        source: io::Error,
    },
    /// A thread, an event or a socket could not be had from the system.
    #[error(
        "the system gives no more threads or files ({source}); raise this user's limits (ulimit -n, ulimit -u)"
    )]
    Resources {
        /// The kernel's answer.
        source: io::Error,
    },
}

/// What a user can do to be allowed namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamespaceRemedy {
    /// Ubuntu's AppArmor restriction is on.
    AppArmor,
    /// Debian's switch is off.
    SwitchedOff,
    /// The number of user namespaces is limited to none, or all are used up.
    Limit,
    /// Something else: a seccomp profile, a chroot, another security module.
    Unknown,
}

impl fmt::Display for NamespaceRemedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AppArmor => {
                "AppArmor restricts user namespaces: install Slipway's AppArmor profile (its package brings it), \
                 or: sysctl kernel.apparmor_restrict_unprivileged_userns=0"
            }
            Self::SwitchedOff => "user namespaces are switched off: sysctl kernel.unprivileged_userns_clone=1",
            Self::Limit => "the limit of user namespaces is reached: raise user.max_user_namespaces with sysctl",
            Self::Unknown => {
                "user namespaces have to be allowed; a container's seccomp profile or a chroot refuses them too"
            }
        })
    }
}
