//! This machine as the kernel and its resolver see it.
//!
//! The helper, the doctor, `explain` and the session look at the same laptop, so they look at it here: what one of them
//! finds, and what another says about it, follow from the same reading and the same rule.
//!
//! ```text
//! kernel ── rtnetlink ──► Kernel::routes, Kernel::route_to ──► KnownRoute ──► conflicts ──► InUse
//!                     └─► Addresses::changed
//! resolv.conf ──► ResolvConf      nsswitch.conf ──► HostsLine
//! ```
//!
//! * [`KnownRoute`] is a route of any table; [`conflicts`] is the one rule about networks that the laptop uses itself.
//! * [`ResolvConf`] and [`HostsLine`] are what programs read before they ask for a name.
//! * [`tun_remedy`] says what helps where the TUN device does not open.
//! * `Kernel` and `Addresses` ask the kernel, with the feature `kernel`. Everything else is without I/O.
//!
//! The crate must not know the helper's protocol, sessions or clusters, and it changes nothing.

mod conflict;
mod nsswitch;
mod resolv_conf;
mod route;
mod tun;

#[cfg(feature = "kernel")]
mod addresses;
#[cfg(feature = "kernel")]
mod kernel;

#[cfg(feature = "kernel")]
pub use addresses::Addresses;
pub use conflict::{Holder, InUse, conflicts, is_private};
#[cfg(feature = "kernel")]
pub use kernel::{Kernel, errno};
pub use nsswitch::HostsLine;
pub use resolv_conf::ResolvConf;
pub use route::{KnownRoute, Maker, PROTOCOL, RouteTo};
pub use tun::{TUN_DEVICE, tun_remedy};
