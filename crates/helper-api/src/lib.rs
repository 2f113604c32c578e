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
//! on the first byte of the reply that names them ([`rights`]). [`Client`] does the talking:
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use slipway_helper_api::{Client, DEFAULT_SOCKET, Plan, Route, RouteOrigin};
//!
//! let client = Client::connect(DEFAULT_SOCKET).await?;
//! let services = Route::new("10.96.0.0/16".parse()?, RouteOrigin::Declared);
//! let plan = Plan::new([services], None)?;
//! let up = client.up(&plan, None).await?;
//! up.lease.closed().await;
//! drop(up.tun); // the helper is gone: so must the device be
//! # Ok(())
//! # }
//! ```
//!
//! A lease **is** the connection. When either side closes it, or dies, the helper's side of the work is undone by the
//! helper or, failing that, by the kernel. One thing only the client can do: the TUN's routes live as long as somebody
//! holds its descriptor, so when [`Lease::closed`] resolves, drop the descriptor at once.

mod client;
mod connection;
mod folder;
pub mod frame;
mod message;
mod plan;
mod range;
mod refusal;
pub mod rights;
mod route;
mod suffix;
mod zones;

pub use client::{Client, Handover, Lease, UpError, Upstream};
pub use connection::ClientError;
pub use folder::{Unguarded, guarded};
pub use message::{
    Build, Change, DnsChange, DnsGranted, Granted, Hello, Leased, Protocol, Reply, Request, Slot, Status,
    Tally, Unslotted, Up, UpstreamName, Version, Welcome,
};
pub use plan::{
    DnsMode, DnsModeChoice, DnsPlan, MAX_CHANGE, MAX_ROUTES, MAX_SUFFIX_BYTES, Plan, PlanError, RedirectPort,
};
pub use range::{RangeError, TunnelCidr};
pub use refusal::{Conflict, ConflictWith, DnsTrouble, HelperRefusal, Operation, RangeTrouble, Stranger};
pub use route::{Route, RouteOrigin, Routes};
pub use suffix::{DnsSuffix, SuffixError};
pub use zones::{ClusterDomain, Namespace, ReverseZone, ZoneError, Zones, is_within};

/// Where the packaged helper listens. The folder is the helper's own, made by its systemd unit.
pub const DEFAULT_SOCKET: &str = "/run/slipway-helper/helper.sock";

/// MTU of every TUN the helper makes, in bytes: the largest an IPv4 packet can fill, because each packet costs one read.
pub const TUN_MTU: u16 = 65535;
