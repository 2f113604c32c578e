//! The resolver: the trait of what answers the DNS queries of programs.

use std::future::Future;
use std::net::SocketAddr;

use bytes::Bytes;
use tokio::net::TcpStream;

/// Answers the DNS messages that programs send to the resolver's address, port 53. A clone is the same resolver.
pub trait DnsService: Clone + Send + Sync + 'static {
    /// Answers at once if that needs no waiting: called on the packet path, it must not block.
    ///
    /// `answer` is empty when this is called, and holds the answer when it returns [`Answer::Ready`].
    fn try_answer(&self, query: &[u8], answer: &mut Vec<u8>) -> Answer;

    /// Answers a UDP query for which [`DnsService::try_answer`] returned [`Answer::Later`]. `None` sends no answer. `from` is
    /// the program's socket.
    ///
    /// It is dropped when it takes longer than [`crate::ANSWER_LIMIT`].
    fn answer(&self, query: Bytes, from: SocketAddr) -> impl Future<Output = Option<Bytes>> + Send;

    /// Serves DNS over one TCP connection until its end.
    fn serve_tcp(&self, program: TcpStream) -> impl Future<Output = ()> + Send;
}

/// The result of [`DnsService::try_answer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The answer is in the buffer.
    Ready,
    /// It needs [`DnsService::answer`].
    Later,
    /// No answer is due: the message is not a query.
    None,
}
