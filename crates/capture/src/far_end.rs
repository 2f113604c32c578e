//! The far side, as seen from here: whoever opens connections and sends datagrams on the programs' behalf.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use tokio::net::TcpStream;

/// Opens, carries and sends where the captured addresses are real.
///
/// A clone speaks for the same far end.
pub trait FarEnd: Clone + Send + Sync + 'static {
    /// A connection that the far end has established and that no program uses yet. Dropping it closes it.
    type Opened: Send + 'static;

    /// Connects to `to`. The program's `connect()` waits for this and ends the way this ends.
    ///
    /// It is dropped when it takes longer than [`crate::OPEN_LIMIT`].
    fn open(&self, to: SocketAddr) -> impl Future<Output = Result<Self::Opened, Refusal>> + Send;

    /// Carries bytes between an opened connection and the program's end of it, until both are done.
    ///
    /// `flow` says who the program is and where it wanted to go; the names of the socket itself may be others.
    fn carry(&self, opened: Self::Opened, flow: Flow, program: TcpStream) -> impl Future<Output = ()> + Send;

    /// Sends one UDP datagram, best effort. Called on the packet path: it must not block.
    fn datagram(&self, flow: Flow, payload: &[u8]);

    /// A flow of datagrams is over: silent for [`crate::DATAGRAM_IDLE`], or pushed out by newer ones.
    ///
    /// Replies to it are dropped from now on. Called on the packet path: it must not block.
    fn datagrams_ended(&self, flow: Flow);

    /// Sends one ICMP echo request, best effort. Called on the packet path: it must not block.
    ///
    /// Nothing here answers by itself: a program sees a reply when [`crate::Replies::echo`] is called.
    fn echo(&self, request: Echo);
}

/// Why the far end opened no connection. Decides what the program's `connect()` returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Nobody listens there: `ECONNREFUSED`.
    Refused,
    /// The host cannot be reached: `EHOSTUNREACH`.
    HostUnreachable,
    /// The network cannot be reached: `ENETUNREACH`.
    NetworkUnreachable,
    /// A policy forbids it: `EHOSTUNREACH` for IPv4, `EACCES` for IPv6.
    Prohibited,
    /// No answer came. The program is told nothing and goes on waiting as it would on the spot.
    TimedOut,
}

impl Refusal {
    /// Whether it is an ICMP error to the program's kernel.
    pub(crate) fn is_icmp(self) -> bool {
        match self {
            Refusal::HostUnreachable | Refusal::NetworkUnreachable | Refusal::Prohibited => true,
            Refusal::Refused | Refusal::TimedOut => false,
        }
    }
}

/// Two ends of a conversation, seen from the program. Both addresses are of one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Flow {
    /// The program's end.
    pub from: SocketAddr,
    /// Where the program wants to go.
    pub to: SocketAddr,
}

/// An ICMP or ICMPv6 echo, request or reply, in the direction of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Echo {
    /// Who asks.
    pub from: IpAddr,
    /// Who is asked. Of the same family.
    pub to: IpAddr,
    /// The asker's identifier, to be repeated in the reply.
    pub ident: u16,
    /// The asker's sequence number, to be repeated in the reply.
    pub seq: u16,
    /// The asker's data, to be repeated in the reply.
    pub payload: Bytes,
}
