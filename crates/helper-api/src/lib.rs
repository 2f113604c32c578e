//! What may be asked of Slipway's privileged helper, and nothing else.
//!
//! The vocabulary is the security boundary: [`Request`] has five words, and their arguments are typed addresses and name
//! suffixes. No path, program, shell word, routing table, priority or interface name can be written in it, so the worst
//! that an authorized client can do is what the words say: route some networks into a TUN of its own, and have names
//! resolved there, for as long as its connection lives.
//!
//! This crate must not know how the helper does its work (netlink, nftables, D-Bus), nor who asks (a session, a test).
//!
//! # How data flows
//! A connection to the helper's socket carries frames: a `u32` length in network order, then one JSON document
//! ([`frame`]). The first one is [`Hello`]; each [`Request`] gets one [`Reply`]. File descriptors travel as `SCM_RIGHTS`
//! on the first byte of the reply that names them ([`rights`]). The crate `slipway-helper-client` does the talking for a
//! session, and has the texts for its user.
//!
//! A lease **is** the connection. When either side closes it, or dies, the helper's side of the work is undone by the
//! helper or, failing that, by the kernel. One thing only the client can do: the TUN's routes live as long as somebody
//! holds its descriptor, so when the helper closes the connection, drop the descriptor at once.

mod dns_plan;
mod folder;
pub mod frame;
mod message;
mod plan_error;
mod range;
mod refusal;
pub mod rights;
mod route;
mod slot;
mod suffix;
mod version;
mod zones;

pub use dns_plan::{DnsMode, DnsModeChoice, DnsPlan, RedirectPort};
pub use folder::{Unguarded, guarded};
pub use message::{
    Change, DnsChange, DnsGranted, Granted, Leased, MAX_CHANGE, Protocol, Reply, Request, Status, Tally, Up,
    UpstreamName,
};
pub use plan_error::{MAX_ROUTES, MAX_SUFFIX_BYTES, PlanError};
pub use range::{RangeError, TunnelCidr};
pub use refusal::{Conflict, ConflictWith, DnsTrouble, HelperRefusal, Operation, RangeTrouble, Stranger};
pub use route::{Route, RouteOrigin, Routes};
pub use slot::{Slot, Unslotted};
pub use suffix::{DnsSuffix, SuffixError};
pub use version::{Build, Hello, Version, Welcome};
pub use zones::{ClusterDomain, Namespace, ReverseZone, ZoneError, Zones, is_within};

/// Where the packaged helper listens. The folder is the helper's own, made by its systemd unit.
pub const DEFAULT_SOCKET: &str = "/run/slipway-helper/helper.sock";

/// MTU of every TUN the helper makes, in bytes: the largest an IPv4 packet can fill, because each packet costs one read.
pub const TUN_MTU: u16 = 65535;
