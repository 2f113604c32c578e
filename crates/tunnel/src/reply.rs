//! Messages of the agent that belong to no stream.

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::frame::{Farewell, StreamRefusal};

/// Queues of messages that the agent sends outside of streams: replies to packets for the method, and farewells for the
/// session.
#[derive(Debug)]
pub struct FromAgent {
    /// Replies to datagrams and echo requests. When the queue is full they are lost, as any datagram may be.
    pub packets: mpsc::Receiver<PacketReply>,
    /// Notices that the agent leaves.
    pub farewells: mpsc::Receiver<Farewell>,
}

/// Reply to a packet of a program.
#[derive(Debug)]
pub enum PacketReply {
    /// A datagram for a flow.
    Datagram {
        /// The flow that was passed to [`crate::Tunnel::send_datagram`].
        flow: u32,
        /// The payload.
        payload: Bytes,
    },
    /// A report that no program listens at the far end of a flow.
    Undeliverable {
        /// The flow that was passed to [`crate::Tunnel::send_datagram`].
        flow: u32,
        /// Reason of the failure.
        refusal: StreamRefusal,
    },
    /// An answer to an echo request.
    Echo {
        /// The number that was passed to [`crate::Tunnel::echo`].
        id: u32,
        /// The payload of the answer.
        payload: Bytes,
    },
}
