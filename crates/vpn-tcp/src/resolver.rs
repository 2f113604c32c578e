//! The names resolver as capture's resolver.

use bytes::Bytes;
use slipway_capture::Answer;
use slipway_names::Transport;
use tokio::net::TcpStream;

use crate::asks::SessionAsks;

/// Answers what programs ask inside the TUN and, by way of the listener, what was redirected to us.
#[derive(Clone)]
pub(crate) struct Resolver(pub(crate) slipway_names::Resolver<SessionAsks>);

impl slipway_capture::Resolver for Resolver {
    fn try_answer(&self, query: &[u8], answer: &mut Vec<u8>) -> Answer {
        if self.0.try_answer(query, answer) {
            Answer::Ready
        } else {
            Answer::Later
        }
    }

    async fn answer(&self, query: Bytes) -> Option<Bytes> {
        let answer = self.0.answer(query, Transport::Udp).await;
        (!answer.is_empty()).then_some(answer)
    }

    async fn serve_tcp(&self, program: TcpStream) {
        if let Err(error) = self.0.serve_tcp(program).await {
            tracing::trace!(%error, "a program's questions over TCP ended");
        }
    }
}
