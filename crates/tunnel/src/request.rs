//! Requests of the client, as the agent takes them.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::frame::{AskError, Farewell, Frame, StreamId, StreamRefusal};
use crate::shared_core::SharedCore;
use crate::stream::Stream;

/// What a client asks of its agent.
#[derive(Debug)]
pub enum Request {
    /// A TCP connection.
    Open(OpenRequest),
    /// An answer from the cluster's DNS.
    Ask(Asked),
    /// A datagram to send.
    Datagram {
        /// The flow, named by the client.
        flow: u32,
        /// Where it goes.
        to: SocketAddr,
        /// The payload.
        payload: Bytes,
    },
    /// An echo request to send.
    Echo(Echo),
    /// The client leaves.
    Goodbye(Farewell),
}

/// A TCP connection that the client asks for.
#[derive(Debug)]
pub struct OpenRequest {
    /// Where it goes.
    pub to: SocketAddr,
    pub(crate) stream: Stream,
    pub(crate) core: Arc<SharedCore>,
    pub(crate) id: StreamId,
}

/// A DNS question of the client.
#[derive(Debug)]
pub struct Asked {
    /// The whole message.
    pub message: Bytes,
    pub(crate) id: u32,
    pub(crate) core: Arc<SharedCore>,
}

/// An echo request of the client.
#[derive(Debug)]
pub struct Echo {
    /// Whom to ask.
    pub to: IpAddr,
    /// What to send.
    pub payload: Bytes,
    /// Names the request in its answer.
    pub id: u32,
}

/// What the agent's shell takes requests from.
pub type Incoming = mpsc::Receiver<Request>;

impl OpenRequest {
    /// Tells the client that its connection stands.
    pub fn accept(self) -> Stream {
        self.core.lock().accept(self.id);
        self.stream
    }

    /// Tells the client that there is no connection.
    pub fn refuse(self, refusal: StreamRefusal) {
        self.core.lock().refuse(self.id, refusal);
    }

    /// Waits until the client does not want the connection any more.
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
    /// Answers the question.
    pub fn answer(self, outcome: Result<Bytes, AskError>) {
        self.core
            .lock()
            .send_message(Frame::Answer { id: self.id, outcome });
    }
}
