//! Many streams over a few carriers.
//!
//! The tunnel joins a session on the laptop with its agent in the cluster. Above it are TCP connections, DNS
//! questions, datagrams and echo requests; below it are *carriers*: byte pipes that may stall, break at any byte
//! and be replaced while everything above goes on.
//!
//! ```text
//! open / read / write ──► core (streams, credits, schedule) ──► frames ──► carrier writer ──►
//! ◄── chunks, answers ──  core (reassembly, refusals)        ◄── frames ◄── carrier reader ◄──
//! ```
//!
//! * [`frame`] is the codec: bytes to frames and back, without I/O.
//! * [`proof`] is the mutual proof with which each carrier begins.
//! * `core` holds every decision, without I/O or clock: which frame goes next on which carrier, what may be sent,
//!   what must be sent again.
//! * [`Tunnel`] and [`Stream`] are the thin asynchronous shell that moves bytes between the core and carriers.
//! * `blocks` is the memory that bytes are in meanwhile.
//! * [`splice()`] joins a stream with a TCP socket, keeping half-close and reset.
//!
//! It must not know Kubernetes, packets, or how a carrier is made. The written form of the protocol is
//! `docs/tunnel-protocol.md`.

pub mod frame;
pub mod proof;

mod blocks;
mod carrier;
mod core;
mod ids;
mod limits;
mod receive;
mod reply;
mod request;
mod send;
mod shared_core;
mod splice;
mod stream;
mod tunnel;

pub use frame::{AskError, ResetCause, StreamRefusal};
pub use limits::{CARRIERS, Limits};
pub use proof::{Introduction, ProofError};
pub use reply::{FromAgent, PacketReply};
pub use request::{Asked, Echo, Incoming, OpenRequest, Request};
pub use splice::splice;
pub use stream::{Stream, StreamError};
pub use tunnel::{CarrierEnd, Stats, Tunnel};
