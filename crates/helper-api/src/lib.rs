//! Requests and replies of Slipway's privileged helper.
//!
//! The protocol is the security boundary: [`Request`] has five kinds, and their arguments are typed addresses and name
//! suffixes. A request cannot contain a path, program, shell word, routing table, priority or interface name. So the
//! worst that an authorized client can do is to route some networks into its own TUN, and to have names resolved
//! there, while its connection lives.
//!
//! This crate must not know how the helper works (netlink, nftables, D-Bus), nor who its client is (a session, a test).
//!
//! # How data flows
//! A connection to the helper's socket carries frames: a `u32` length in network order, then one JSON document
//! ([`frame`]). The first one is [`Hello`]; each [`Request`] gets one [`Reply`]. File descriptors travel as
//! `SCM_RIGHTS` on the first byte of the reply that names them ([`rights`]). The crate `slipway-helper-client` is the
//! client for sessions, and has the texts for users.
//!
//! The helper revokes networks that the laptop itself comes to use: it takes them out of the lease's routes when the
//! laptop's network changes, and tells the client with its next [`Updated`]. Both work out the remaining routes with
//! [`Routes::give_way`].
//!
//! A lease lives as long as its connection. When either side closes it, or dies, the helper undoes its changes; if the
//! helper died, the kernel does. The TUN's routes live as long as a process holds its descriptor, so a client must drop
//! the descriptor at once when the helper closes the connection.

use std::net::Ipv4Addr;

use ipnet::{IpNet, Ipv4Net};

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

pub use dns_plan::{DnsMode, DnsModeChoice, DnsPlan, MAX_NAME_SERVERS, RedirectPort};
pub use folder::{Unguarded, guarded};
pub use message::{
    Change, DnsChange, DnsGranted, Granted, LeaseAccess, Leased, MAX_CHANGE, Protocol, Reply, Request,
    Status, Tally, Up, Updated, UpstreamName,
};
pub use plan_error::{MAX_ADDRESSES, MAX_RANGES, MAX_ROUTES, MAX_SUFFIX_BYTES, PlanError};
pub use range::{RangeError, TunnelCidr};
pub use refusal::{Conflict, ConflictWith, DnsTrouble, HelperRefusal, Operation, RangeTrouble, Stranger};
pub use route::{Route, RouteOrigin, Routes};
pub use slot::{Slot, Unslotted};
pub use suffix::{DnsSuffix, SuffixError};
pub use version::{Build, Hello, Version, Welcome};
pub use zones::{ClusterDomain, Namespace, ReverseZone, ZoneError, Zones, is_within};

/// Socket of the packaged helper. Its systemd unit makes the folder, which belongs to the helper.
pub const DEFAULT_SOCKET: &str = "/run/slipway-helper/helper.sock";

/// Network from which the helper numbers its own devices. It routes no part of it.
pub const OWN_DEVICES: IpNet = IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(198, 18, 0, 0), 16));

/// MTU of every TUN the helper makes, in bytes: the largest an IPv4 packet can fill, because each packet costs one
/// read.
pub const TUN_MTU: u16 = 65535;
