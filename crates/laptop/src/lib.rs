//! Network state of this laptop: routes, addresses, DNS configuration and TUN device.
//!
//! The helper, the doctor, `explain` and the session all use this crate, so that they read the same files and tables
//! and apply the same rules.
//!
//! ```text
//! kernel ── rtnetlink ──► Kernel::routes ──► KnownRoute ──► conflicts ──► InUse
//!                     ├─► Kernel::routes_to ──► RouteTo, with Kernel::rules ──► overridden ──► Overridden
//!                     └─► Addresses::changed, Routing::changed
//! resolv.conf ──► ResolvConf      nsswitch.conf ──► HostsLine
//! ```
//!
//! * [`KnownRoute`] is a route of any table; [`conflicts`] finds the networks that the laptop itself uses, judging a
//!   session's networks by their [`Union`].
//! * [`overridden()`] finds routes of a session whose packets the kernel sends elsewhere, by a rule or another route.
//! * [`ResolvConf`] and [`HostsLine`] are parsed from files that programs read before they ask for a name.
//! * [`tun_remedy`] returns the remedy for a TUN device that does not open.
//! * `SocketOwners` finds the program that has a socket.
//! * `Kernel`, `Addresses`, `Routing` and `SocketOwners` ask the kernel, with the feature `kernel`. Everything else does no I/O.
//!
//! The crate must not know the helper's protocol, sessions or clusters, and it changes nothing.

mod conflict;
mod nsswitch;
mod overridden;
mod resolv_conf;
mod route;
mod rule;
mod tun;
mod union;

#[cfg(feature = "kernel")]
mod addresses;
#[cfg(feature = "kernel")]
mod kernel;
#[cfg(feature = "kernel")]
mod routing;
#[cfg(feature = "kernel")]
mod socket_owner;

#[cfg(feature = "kernel")]
pub use addresses::Addresses;
pub use conflict::{Holder, InUse, conflicts, is_private};
#[cfg(feature = "kernel")]
pub use kernel::{Kernel, errno};
pub use nsswitch::HostsLine;
pub use overridden::{By, Overridden, Probe, overridden, probes};
pub use resolv_conf::ResolvConf;
pub use route::{KnownRoute, Maker, PROTOCOL, RouteTo};
#[cfg(feature = "kernel")]
pub use routing::Routing;
pub use rule::{MAIN_TABLE, RoutingRule, RuleAction, rule_before_main, rule_behind};
#[cfg(feature = "kernel")]
pub use socket_owner::{SocketOwner, SocketOwners};
pub use tun::{TUN_DEVICE, tun_remedy};
pub use union::Union;

/// File with the name servers that programs ask.
pub const RESOLV_CONF: &str = "/etc/resolv.conf";

/// File in which systemd-resolved lists the name servers that it asks itself (systemd-resolved.service(8)).
pub const RESOLVED_UPLINKS: &str = "/run/systemd/resolve/resolv.conf";

/// File that says whether the C library asks name servers or systemd-resolved.
pub const NSSWITCH_CONF: &str = "/etc/nsswitch.conf";
