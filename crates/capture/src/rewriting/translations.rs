//! Translation table: the addresses and ports of a segment on its way to the listener and back. It has no clock and
//! no I/O: the caller passes the time.
//!
//! ```text
//!  program -> destination   becomes   peer:port -> listener        (inwards)
//!  listener -> peer:port    becomes   destination -> program       (outwards)
//! ```
//!
//! A port stands for the whole flow, so that one port of a program may lead to two destinations. It is free again when
//! neither end of its last connection can still send a segment.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::Flow;
use crate::packet::Tcp;

/// How long the listener's kernel remembers a connection that its side ended first (`TCP_TIMEWAIT_LEN`): until then
/// it may take a new one from the same port for a late segment of the old.
const TIME_WAIT: Duration = Duration::from_secs(60);
/// How long a connection whose socket is closed may be idle. Longer than the kernel waits between two probes of
/// a window that stays shut.
const ABANDONED: Duration = Duration::from_secs(180);

/// The translations of one listener.
#[derive(Debug)]
pub(crate) struct Translations {
    listener: SocketAddr,
    peer: IpAddr,
    by_flow: HashMap<Flow, u16>,
    by_port: HashMap<u16, Connection>,
    unused: std::ops::RangeInclusive<u16>,
    freed: VecDeque<u16>,
}

#[derive(Debug)]
struct Connection {
    flow: Flow,
    /// Its accepted socket is open.
    held: bool,
    /// What acknowledges the program's end of stream, once it was seen.
    program_end: Option<u32>,
    our_end: Option<OurEnd>,
    /// A segment passed since the last [`Translations::expire`].
    used: bool,
    last_used: Instant,
}

#[derive(Debug, Clone, Copy)]
struct OurEnd {
    /// What acknowledges it.
    seq: u32,
    /// Whether it came before the program's, as far as the listener's kernel knew.
    first: bool,
}

impl Translations {
    /// Translates to `listener`, as if connections came from `peer`, by one of `ports` each.
    pub(crate) fn new(listener: SocketAddr, peer: IpAddr, ports: std::ops::RangeInclusive<u16>) -> Self {
        Self {
            listener,
            peer,
            by_flow: HashMap::new(),
            by_port: HashMap::new(),
            unused: ports,
            freed: VecDeque::new(),
        }
    }

    /// Whether a segment comes from the listener.
    pub(crate) fn is_answer(&self, flow: Flow) -> bool {
        flow.from == self.listener && flow.to.ip() == self.peer
    }

    /// Assigns a port to a new connection, and returns the ends of its SYN; `None` when all ports are in use.
    pub(crate) fn admit(&mut self, now: Instant, flow: Flow) -> Option<Flow> {
        let port = self.unused.next().or_else(|| self.freed.pop_front())?;
        let connection = Connection {
            flow,
            held: false,
            program_end: None,
            our_end: None,
            used: false,
            last_used: now,
        };
        // What is left of an earlier connection of the flow keeps its port until it is over for the listener's kernel.
        self.by_flow.insert(flow, port);
        self.by_port.insert(port, connection);
        Some(self.inside(port))
    }

    /// A program's segment: its ends on the way to the listener, if its connection is known.
    pub(crate) fn inwards(&mut self, flow: Flow, tcp: Tcp) -> Option<Flow> {
        let port = *self.by_flow.get(&flow)?;
        let connection = self.by_port.get_mut(&port)?;
        connection.used = true;
        if tcp.finishes() {
            connection.program_end = Some(tcp.next_seq());
        }
        let over = match (connection.program_end, connection.our_end) {
            (Some(_), Some(OurEnd { seq, first: false })) => tcp.acknowledges() && reaches(tcp.ack, seq),
            _ => false,
        };
        let ends = self.inside(port);
        if over || tcp.resets() {
            self.forget(port);
        }
        Some(ends)
    }

    /// A segment of the listener's to the peer's `port`: its ends on the way to the program.
    pub(crate) fn outwards(&mut self, port: u16, tcp: Tcp) -> Option<Flow> {
        let connection = self.by_port.get_mut(&port)?;
        connection.used = true;
        if tcp.finishes() && connection.our_end.is_none() {
            let knew = connection
                .program_end
                .is_some_and(|end| tcp.acknowledges() && reaches(tcp.ack, end));
            connection.our_end = Some(OurEnd {
                seq: tcp.next_seq(),
                first: !knew,
            });
        }
        let Flow { from, to } = connection.flow;
        if tcp.resets() {
            self.forget(port);
        }
        Some(Flow { from: to, to: from })
    }

    /// The connection of a socket that was accepted from `from`. It is held until [`Translations::release`].
    pub(crate) fn accepted(&mut self, from: SocketAddr) -> Option<Flow> {
        if from.ip() != self.peer {
            return None;
        }
        let connection = self.by_port.get_mut(&from.port())?;
        connection.held = true;
        Some(connection.flow)
    }

    /// The socket that was accepted from `from` for `flow` is closed.
    pub(crate) fn release(&mut self, from: SocketAddr, flow: Flow) {
        if let Some(connection) = self.by_port.get_mut(&from.port())
            && connection.flow == flow
        {
            connection.held = false;
            connection.used = true;
        }
    }

    /// Forgets the connections that both ends have forgotten.
    pub(crate) fn expire(&mut self, now: Instant) {
        let mut over = Vec::new();
        for (port, connection) in &mut self.by_port {
            if std::mem::take(&mut connection.used) {
                connection.last_used = now;
            }
            let ended = connection.program_end.is_some() && connection.our_end.is_some();
            let limit = if ended { TIME_WAIT } else { ABANDONED };
            if !connection.held && now.saturating_duration_since(connection.last_used) >= limit {
                over.push(*port);
            }
        }
        for port in over {
            self.forget(port);
        }
    }

    fn inside(&self, port: u16) -> Flow {
        Flow {
            from: SocketAddr::new(self.peer, port),
            to: self.listener,
        }
    }

    fn forget(&mut self, port: u16) {
        let Some(connection) = self.by_port.remove(&port) else {
            return;
        };
        if self.by_flow.get(&connection.flow) == Some(&port) {
            self.by_flow.remove(&connection.flow);
        }
        self.freed.push_back(port);
    }
}

/// Whether an acknowledgement covers what ends before `seq` (RFC 9293 section 3.4).
fn reaches(ack: u32, seq: u32) -> bool {
    ack.wrapping_sub(seq) < 1 << 31
}

#[cfg(test)]
mod tests;
