//! The far end: the trait of what opens connections and sends datagrams for programs.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use tokio::net::TcpStream;

/// Opens, carries and sends where the captured addresses are real.
///
/// A clone is the same far end.
pub trait FarEnd: Clone + Send + Sync + 'static {
    /// A connection that the far end has established and that no program uses yet. Dropping it closes it.
    type Opened: Send + 'static;

    /// Connects to `to`. The program's `connect()` waits for this and gets its result.
    ///
    /// It is dropped when it takes longer than [`crate::OPEN_LIMIT`].
    fn open(&self, to: SocketAddr) -> impl Future<Output = Result<Self::Opened, ConnectRefusal>> + Send;

    /// Carries bytes between an opened connection and the program's end of it, until both are done.
    ///
    /// `flow` has the program's address and its destination. The addresses of the socket itself may differ.
    fn carry(&self, opened: Self::Opened, flow: Flow, program: TcpStream) -> impl Future<Output = ()> + Send;

    /// Sends one UDP datagram, best effort. Called on the packet path: it must not block.
    fn datagram(&self, flow: Flow, payload: &[u8]);

    /// A flow of datagrams is over: idle for [`crate::DATAGRAM_IDLE`], or evicted by newer flows.
    ///
    /// Replies to it are dropped from now on. Called on the packet path: it must not block.
    fn datagrams_ended(&self, flow: Flow);

    /// Sends one ICMP echo request, best effort. Called on the packet path: it must not block.
    ///
    /// A program sees a reply only when [`crate::Replies::echo`] is called.
    fn echo(&self, request: Echo);
}

/// Why the far end opened no connection. It decides what the program's `connect()` returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ConnectRefusal {
    /// No socket listens there: `ECONNREFUSED`.
    Refused,
    /// The host cannot be reached: `EHOSTUNREACH`.
    HostUnreachable,
    /// The network cannot be reached: `ENETUNREACH`.
    NetworkUnreachable,
    /// A policy forbids it: `EHOSTUNREACH` for IPv4, `EACCES` for IPv6.
    Prohibited,
    /// No answer came. The program gets none either and goes on waiting, as it would in the far end's network.
    TimedOut,
}

impl ConnectRefusal {
    /// Whether it is an ICMP error to the program's kernel.
    pub(crate) fn is_icmp(self) -> bool {
        match self {
            ConnectRefusal::HostUnreachable
            | ConnectRefusal::NetworkUnreachable
            | ConnectRefusal::Prohibited => true,
            ConnectRefusal::Refused | ConnectRefusal::TimedOut => false,
        }
    }
}

/// The two ends of a connection or exchange of datagrams, seen from the program. Both addresses are of one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Flow {
    /// The program's end.
    pub from: SocketAddr,
    /// The program's destination.
    pub to: SocketAddr,
}

/// An ICMP or ICMPv6 echo, request or reply, in the direction of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Echo {
    /// The sender of the request.
    pub from: IpAddr,
    /// The receiver of the request, of the same family.
    pub to: IpAddr,
    /// The request's identifier, which the reply repeats.
    pub ident: u16,
    /// The request's sequence number, which the reply repeats.
    pub seq: u16,
    /// The request's data, which the reply repeats.
    pub payload: Bytes,
}
