//! The trait of the back ends: how TCP segments of programs reach sockets of this process, and come back.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::Flow;
use crate::packet::Tcp;

/// One way to terminate captured TCP connections.
///
/// A type parameter of what uses it, because most of its methods run once for each packet.
pub(crate) trait TcpBackEnd: Send + Sync + 'static {
    /// Lets a program's segment in. It may be rewritten.
    fn let_in(&self, flow: Flow, tcp: Tcp, segment: &mut [u8]);

    /// Lets a segment out that a listener sent and that came by the laptop's TUN. Returns whether it was one.
    fn let_out(&self, _flow: Flow, _tcp: Tcp, _segment: &mut [u8]) -> bool {
        false
    }

    /// Lets a held SYN in. Returns `false` if there is no room for another connection.
    fn admit(&self, now: Instant, flow: Flow, syn: Box<[u8]>) -> bool;

    /// Makes sure that a listener gets what is meant for `port`. A listener that has to be made is given to
    /// `accept`, which starts the task that accepts on it.
    fn listen(
        &self,
        port: u16,
        accept: impl FnOnce(TcpListener) -> JoinHandle<()> + Send,
    ) -> impl Future<Output = io::Result<()>> + Send;

    /// The flow that an accepted socket belongs to. `from` is the socket's peer.
    fn flow_of(&self, program: &TcpStream, from: SocketAddr) -> Option<Flow>;

    /// Notes that the socket that was accepted from `from` for `flow` is closed.
    fn release(&self, _from: SocketAddr, _flow: Flow) {}

    /// Forgets connections that are over.
    fn expire(&self, _now: Instant) {}

    /// Whether a SYN belongs to this back end's own test connection.
    fn is_self_test(&self, _flow: Flow) -> bool {
        false
    }
}
