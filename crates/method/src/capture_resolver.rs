//! DNS service of a capture: the resolver answers questions that programs send into the TUN.

use std::net::SocketAddr;

use bytes::Bytes;
use slipway_capture::Answer;
use slipway_names::{Asks, Resolver, Transport};
use tokio::net::TcpStream;

/// Resolver for questions that arrive as packets. Clones share the resolver.
pub struct CaptureResolver<A>(Resolver<A>);

impl<A> CaptureResolver<A> {
    /// Makes a DNS service of a resolver.
    #[must_use]
    pub fn new(resolver: Resolver<A>) -> Self {
        Self(resolver)
    }
}

impl<A> Clone for CaptureResolver<A> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<A: Asks> slipway_capture::DnsService for CaptureResolver<A> {
    fn try_answer(&self, query: &[u8], answer: &mut Vec<u8>) -> Answer {
        if self.0.try_answer(query, answer) {
            Answer::Ready
        } else {
            Answer::Later
        }
    }

    async fn answer(&self, query: Bytes, from: SocketAddr) -> Option<Bytes> {
        let answer = self.0.asked_by(from).answer(query, Transport::Udp).await;
        (!answer.is_empty()).then_some(answer)
    }

    async fn serve_tcp(&self, program: TcpStream) {
        if let Err(error) = self.0.serve_tcp(program).await {
            tracing::trace!(%error, "DNS connection over TCP failed");
        }
    }
}
