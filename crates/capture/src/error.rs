//! What keeps a capture from starting, each with what to do about it.

use std::fmt;
use std::io;

/// Why [`crate::Capture::start`] failed.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The kernel refuses this user a user and network namespace. Capture by rewriting is what is left, where the
    /// TUN's addresses are known.
    #[error("the kernel refused a private network namespace ({source})")]
    NamespacesRefused {
        /// What switched them off, and so what switches them on.
        remedy: NamespaceRemedy,
        /// The kernel's answer.
        source: io::Error,
    },
    /// There is no `/dev/net/tun`.
    #[error("/dev/net/tun is missing ({source})")]
    TunDeviceMissing {
        /// The kernel's answer.
        source: io::Error,
    },
    /// `/dev/net/tun` is not for this user.
    #[error("this user may not open /dev/net/tun ({source})")]
    TunDeviceNotPermitted {
        /// The kernel's answer.
        source: io::Error,
    },
    /// The namespace was made, but could not be furnished.
    #[error("the private network namespace could not be set up while {step} ({source})")]
    NamespaceSetup {
        /// What was being done.
        step: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The child process could not be run, or ended or stayed silent before it said anything.
    #[error("the private namespace's process did not start ({source})")]
    ChildNotStarted {
        /// What happened.
        source: io::Error,
    },
    /// Rewritten packets do not arrive at the laptop's own address in the TUN.
    #[error("a firewall of this laptop drops connections that come in by the TUN ({source})")]
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
    #[error("the TUN cannot be used ({source})")]
    Tun {
        /// The kernel's answer.
        source: io::Error,
    },
    /// A thread or a socket could not be had from the system.
    #[error("the system gives no more threads or files ({source})")]
    Resources {
        /// The kernel's answer.
        source: io::Error,
    },
}

impl CaptureError {
    /// What the user can do.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::NamespacesRefused { remedy, .. } => remedy.to_string(),
            Self::TunDeviceMissing { .. } => {
                "load the kernel's module with `sudo modprobe tun`; in a container, pass /dev/net/tun in".to_owned()
            }
            Self::TunDeviceNotPermitted { .. } => {
                "its usual mode lets everybody: `sudo chmod 0666 /dev/net/tun`".to_owned()
            }
            Self::NamespaceSetup { .. } => {
                "the kernel lacks it or a policy forbids it: `slipway doctor` shows which part of the laptop is in the way"
                    .to_owned()
            }
            Self::ChildNotStarted { .. } => {
                "a program that captures has to ask child_main_if_asked() first thing in main; `slipway` does, so \
                 reinstall it"
                    .to_owned()
            }
            Self::RewritingBlocked { device, .. } => format!(
                "let them in: with ufw `sudo ufw allow in on {device}`, with firewalld \
                 `sudo firewall-cmd --zone=trusted --add-interface={device}`"
            ),
            Self::NoBackEnd { refused, blocked } => {
                format!("{}; or {}", refused.remedy(), blocked.remedy())
            }
            Self::Tun { .. } => {
                "it has to be an open TUN device without packet information: reinstall Slipway, so that all its parts \
                 are of one version"
                    .to_owned()
            }
            Self::Resources { .. } => "raise this user's limits (ulimit -n, ulimit -u)".to_owned(),
        }
    }
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
                "AppArmor restricts user namespaces: allow them with \
                 `sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0`"
            }
            Self::SwitchedOff => "user namespaces are switched off: sysctl kernel.unprivileged_userns_clone=1",
            Self::Limit => "the limit of user namespaces is reached: raise user.max_user_namespaces with sysctl",
            Self::Unknown => {
                "user namespaces have to be allowed; a container's seccomp profile or a chroot refuses them too"
            }
        })
    }
}
