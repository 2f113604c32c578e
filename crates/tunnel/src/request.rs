//! Requests of the client, as the agent receives them.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::frame::{AskError, Farewell, Frame, StreamId, StreamRefusal};
use crate::shared_core::SharedCore;
use crate::stream::Stream;

/// Request of a client to its agent.
#[derive(Debug)]
pub enum Request {
    /// Open a TCP connection.
    Open(OpenRequest),
    /// Ask the cluster's DNS.
    Ask(Asked),
    /// Send a datagram.
    Datagram {
        /// Number of the flow, chosen by the client.
        flow: u32,
        /// Destination of the datagram.
        to: SocketAddr,
        /// The payload.
        payload: Bytes,
    },
    /// Send an echo request.
    Echo(Echo),
    /// Notice that the client leaves.
    Goodbye(Farewell),
}

/// Request for a TCP connection.
#[derive(Debug)]
pub struct OpenRequest {
    /// Destination of the connection.
    pub to: SocketAddr,
    pub(crate) stream: Stream,
    pub(crate) core: Arc<SharedCore>,
    pub(crate) id: StreamId,
}

/// Request to ask the cluster's DNS.
#[derive(Debug)]
pub struct Asked {
    /// The whole DNS message.
    pub message: Bytes,
    pub(crate) id: u32,
    pub(crate) core: Arc<SharedCore>,
}

/// Request to send an ICMP echo request.
#[derive(Debug)]
pub struct Echo {
    /// Address of the host to ping.
    pub to: IpAddr,
    /// Payload of the echo request.
    pub payload: Bytes,
    /// Number that the answer repeats.
    pub id: u32,
}

/// Queue of requests for the agent's program.
pub type Incoming = mpsc::Receiver<Request>;

impl OpenRequest {
    /// Reports to the client that its connection is established, and returns the stream.
    pub fn accept(self) -> Stream {
        self.core.lock().accept(self.id);
        self.stream
    }

    /// Reports to the client that its connection failed.
    pub fn refuse(self, refusal: StreamRefusal) {
        self.core.lock().refuse(self.id, refusal);
    }

    /// Waits until the client gives up the connection.
    pub async fn given_up(&self) {
        std::future::poll_fn(|cx| {
            if self.core.lock().is_reset(self.id, cx.waker()) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
}

impl Asked {
    /// Sends the answer to the client.
    pub fn answer(self, outcome: Result<Bytes, AskError>) {
        self.core
            .lock()
            .send_message(Frame::Answer { id: self.id, outcome });
    }
}
