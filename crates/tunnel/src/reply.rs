//! Replies of the agent that no stream carries.

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::frame::{Farewell, StreamRefusal};

/// What the agent sends without being asked, each kind in a queue of its own: replies to packets are the method's, and
/// farewells the session's.
#[derive(Debug)]
pub struct FromAgent {
    /// Replies to datagrams and echo requests. Those that do not fit into the queue are lost, as any datagram may be.
    pub packets: mpsc::Receiver<PacketReply>,
    /// The agent leaves, and why.
    pub farewells: mpsc::Receiver<Farewell>,
}

/// What comes back for a packet of a program.
#[derive(Debug)]
pub enum PacketReply {
    /// A datagram came back to a flow.
    Datagram {
        /// As given to [`crate::Tunnel::send_datagram`].
        flow: u32,
        /// The payload.
        payload: Bytes,
    },
    /// Nobody listens at the far end of a flow.
    Undeliverable {
        /// As given to [`crate::Tunnel::send_datagram`].
        flow: u32,
        /// Why.
        refusal: StreamRefusal,
    },
    /// An echo request was answered.
    Echo {
        /// As given to [`crate::Tunnel::echo`].
        id: u32,
        /// The payload that came back.
        payload: Bytes,
    },
}
