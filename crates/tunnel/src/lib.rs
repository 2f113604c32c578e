//! Many streams over a few carriers.
//!
//! The tunnel connects a session on the laptop with its agent in the cluster. It carries TCP connections, DNS questions,
//! datagrams and echo requests over *carriers*: byte pipes that may stall, break at any byte, and be replaced while
//! everything above them continues.
//!
//! ```text
//! open / read / write ──► core (streams, credits, schedule) ──► frames ──► carrier writer ──►
//! ◄── chunks, answers ──  core (reassembly, refusals)        ◄── frames ◄── carrier reader ◄──
//! ```
//!
//! * [`frame`] is the codec: bytes to frames and back, without I/O.
//! * [`proof`] is the mutual proof with which each carrier begins.
//! * `core` makes every decision, without I/O or clock: which frame is sent next on which carrier, what may be sent,
//!   what must be sent again.
//! * [`Tunnel`] and [`Stream`] are the thin asynchronous shell that moves bytes between the core and carriers.
//! * `blocks` is the pool of memory that holds bytes meanwhile.
//! * [`splice()`] connects a stream with a TCP socket, and preserves half-close and reset.
//! * [`descriptors`] is the number of sockets that this process may have, which limits its streams.
//!
//! This crate must not know Kubernetes, packets, or how a carrier is opened. The specification of the protocol is
//! `docs/tunnel-protocol.md`.

pub mod descriptors;
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

pub use crate::core::Full;
pub use frame::{AskError, ResetCause, StreamRefusal};
pub use limits::{CARRIERS, Limits};
pub use proof::{Introduction, ProofError};
pub use reply::{FromAgent, PacketReply};
pub use request::{Asked, Echo, Incoming, OpenRequest, Request};
pub use splice::splice;
pub use stream::{Stream, StreamError};
pub use tunnel::{CarrierEnd, Stats, Tunnel};
