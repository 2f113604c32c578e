//! Errors that keep a capture from starting, each with its remedy.

use std::fmt;
use std::io;

use slipway_laptop::tun_remedy;

/// Why [`crate::Capture::start`] failed.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The kernel refuses this user a user and network namespace. Where the TUN's addresses are known, rewriting
    /// works without one.
    #[error("the kernel refused a private network namespace ({source})")]
    NamespacesRefused {
        /// The setting that forbids namespaces, and how to change it.
        remedy: NamespaceRemedy,
        /// The kernel's error.
        source: io::Error,
    },
    /// There is no `/dev/net/tun`.
    #[error("/dev/net/tun is missing ({source})")]
    TunDeviceMissing {
        /// The kernel's error.
        source: io::Error,
    },
    /// This user may not open `/dev/net/tun`.
    #[error("this user may not open /dev/net/tun ({source})")]
    TunDeviceNotPermitted {
        /// The kernel's error.
        source: io::Error,
    },
    /// The namespace was made, but setting it up failed.
    #[error("the private network namespace could not be set up while {step} ({source})")]
    NamespaceSetup {
        /// The step that failed.
        step: &'static str,
        /// The kernel's error.
        source: io::Error,
    },
    /// The child process could not be run, or sent no message before it ended or its time was up.
    #[error("the private namespace's process did not start ({source})")]
    ChildNotStarted {
        /// The cause.
        source: io::Error,
    },
    /// Rewritten packets do not arrive at the laptop's own address in the TUN.
    #[error("a firewall of this laptop drops connections that come in by the TUN ({source})")]
    RewritingBlocked {
        /// The TUN's name.
        device: String,
        /// The result of the attempt.
        source: io::Error,
    },
    /// Neither back end works. It is enough to remove one cause.
    #[error("{refused}. Rewriting packets instead does not work either: {blocked}")]
    NoBackEnd {
        /// Why the private namespace does not work.
        refused: Box<CaptureError>,
        /// Why rewriting does not work.
        blocked: Box<CaptureError>,
    },
    /// The caller's TUN cannot be used.
    #[error("the TUN cannot be used ({source})")]
    Tun {
        /// The kernel's error.
        source: io::Error,
    },
    /// The system gave no thread or socket.
    #[error("the system gives no more threads or files ({source})")]
    Resources {
        /// The kernel's error.
        source: io::Error,
    },
}

impl CaptureError {
    /// What the user can do.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::NamespacesRefused { remedy, .. } => remedy.to_string(),
            Self::TunDeviceMissing { source } | Self::TunDeviceNotPermitted { source } => {
                tun_remedy(source).to_owned()
            }
            Self::NamespaceSetup { .. } => {
                "run `slipway doctor`: the kernel lacks a feature, or a policy of this laptop forbids it".to_owned()
            }
            Self::ChildNotStarted { .. } => {
                "reinstall Slipway, so that all its parts have one version; another program that captures must call \
                 child_main_if_asked() at the start of main"
                    .to_owned()
            }
            Self::RewritingBlocked { device, .. } => format!(
                "allow connections from the TUN: with ufw `sudo ufw allow in on {device}`, with firewalld \
                 `sudo firewall-cmd --zone=trusted --add-interface={device}`"
            ),
            Self::NoBackEnd { refused, blocked } => {
                format!("{}; or {}", refused.remedy(), blocked.remedy())
            }
            Self::Tun { .. } => {
                "reinstall Slipway, so that all its parts have one version: the helper must give an open TUN without \
                 packet information"
                    .to_owned()
            }
            Self::Resources { .. } => "raise this user's limits (ulimit -n, ulimit -u)".to_owned(),
        }
    }
}

/// What a user can do to be allowed user namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamespaceRemedy {
    /// AppArmor restricts them (Ubuntu): lift the restriction.
    AppArmor,
    /// They are switched off (Debian): switch them on.
    SwitchedOff,
    /// Their number is limited to zero or reached: raise the limit.
    Limit,
    /// The cause is unknown: a seccomp profile, a chroot or another security module.
    Unknown,
}

impl fmt::Display for NamespaceRemedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AppArmor => {
                "allow user namespaces, which AppArmor restricts, with \
                 `sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0`"
            }
            Self::SwitchedOff => {
                "switch on user namespaces with `sudo sysctl kernel.unprivileged_userns_clone=1`"
            }
            Self::Limit => "raise the limit of user namespaces, user.max_user_namespaces, with `sudo sysctl`",
            Self::Unknown => {
                "allow user namespaces; a container's seccomp profile or a chroot refuses them too"
            }
        })
    }
}
