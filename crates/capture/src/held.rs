//! State of TCP connections, from the first SYN to the last byte: what the pump does with a SYN, and which opened
//! connection belongs to an accepted socket. It has no clock and no I/O: the caller passes the time.
//!
//! ```text
//!  SYN -> opening --opened--> admitted --accepted--> carried --ended--> forgotten
//!            |                   | \
//!            +-- refused, -------+  +-- not accepted in time, reset by the program
//!                timed out
//! ```

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::Flow;

/// How long an admitted SYN may take to become an accepted socket. The handshake is between two kernels on this
/// machine, so only a program that has given up takes longer; it leaves room for one lost SYN-ACK.
pub(crate) const ADMIT_LIMIT: Duration = Duration::from_secs(10);

/// The known connections, with what the far end opened (`O`) for each.
#[derive(Debug)]
pub(crate) struct HeldConnections<O> {
    flows: HashMap<Flow, Connection<O>>,
    opening: usize,
    max_opening: usize,
    next_ticket: u64,
}

/// Identifies one connection of a flow, to tell it from earlier connections of the same flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket(u64);

/// What to do with a SYN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It opens a new connection: ask the far end. The SYN is kept.
    Open(Ticket),
    /// It repeats one that is kept: drop it.
    Swallow,
    /// It repeats one that was let in: let it in, too.
    Pass,
    /// Too many are waiting: drop it, the program's kernel repeats it.
    Full,
}

#[derive(Debug)]
struct Connection<O> {
    ticket: Ticket,
    /// The SYN's sequence number: a repeated SYN has the same, a new connection another.
    initial_seq: u32,
    stage: Stage<O>,
}

#[derive(Debug)]
enum Stage<O> {
    Opening { syn: Box<[u8]> },
    Admitted { opened: O, at: Instant },
    Carried,
}

impl<O> HeldConnections<O> {
    /// Holds at most `max_opening` SYNs at a time.
    pub(crate) fn new(max_opening: usize) -> Self {
        Self {
            flows: HashMap::new(),
            opening: 0,
            max_opening,
            next_ticket: 0,
        }
    }

    /// Decides what to do with a SYN.
    pub(crate) fn syn(&mut self, flow: Flow, initial_seq: u32, packet: &[u8]) -> Verdict {
        if let Some(known) = self.flows.get(&flow)
            && known.initial_seq == initial_seq
        {
            return match known.stage {
                Stage::Opening { .. } => Verdict::Swallow,
                Stage::Admitted { .. } | Stage::Carried => Verdict::Pass,
            };
        }
        // Another sequence number: the program has given up the earlier connection and opens another.
        drop(self.remove(flow));
        if self.opening >= self.max_opening {
            return Verdict::Full;
        }
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.opening += 1;
        let stage = Stage::Opening { syn: packet.into() };
        self.flows.insert(
            flow,
            Connection {
                ticket,
                initial_seq,
                stage,
            },
        );
        Verdict::Open(ticket)
    }

    /// The far end opened the connection. Returns the SYN to let in, or `opened` if no program waits for it.
    pub(crate) fn opened(
        &mut self,
        now: Instant,
        flow: Flow,
        ticket: Ticket,
        opened: O,
    ) -> Result<Box<[u8]>, O> {
        let Some(connection) = self.flows.get_mut(&flow).filter(|known| known.ticket == ticket) else {
            return Err(opened);
        };
        let Stage::Opening { syn } = &mut connection.stage else {
            return Err(opened);
        };
        let syn = std::mem::take(syn);
        connection.stage = Stage::Admitted { opened, at: now };
        self.opening -= 1;
        Ok(syn)
    }

    /// The far end did not open the connection. Returns the SYN to answer, if the program still waits.
    pub(crate) fn refused(&mut self, flow: Flow, ticket: Ticket) -> Option<Box<[u8]>> {
        self.flows.get(&flow).filter(|known| known.ticket == ticket)?;
        match self.remove(flow)?.stage {
            Stage::Opening { syn } => Some(syn),
            Stage::Admitted { .. } | Stage::Carried => None,
        }
    }

    /// The program reset the connection. Returns what was opened and has no use any more.
    ///
    /// A carried connection stays known until it [ended](Self::ended): its socket sees the reset as well.
    pub(crate) fn reset(&mut self, flow: Flow) -> Option<O> {
        match self.flows.get(&flow)?.stage {
            Stage::Opening { .. } | Stage::Admitted { .. } => self.remove(flow)?.into_opened(),
            Stage::Carried => None,
        }
    }

    /// A socket was accepted. Returns what the far end opened for it.
    pub(crate) fn accepted(&mut self, flow: Flow) -> Option<(Ticket, O)> {
        let connection = self.flows.get_mut(&flow)?;
        if !matches!(connection.stage, Stage::Admitted { .. }) {
            return None;
        }
        match std::mem::replace(&mut connection.stage, Stage::Carried) {
            Stage::Admitted { opened, .. } => Some((connection.ticket, opened)),
            Stage::Opening { .. } | Stage::Carried => None,
        }
    }

    /// A carried connection is over.
    pub(crate) fn ended(&mut self, flow: Flow, ticket: Ticket) {
        if self.flows.get(&flow).is_some_and(|known| known.ticket == ticket) {
            drop(self.remove(flow));
        }
    }

    /// Forgets the connections whose program never completed the handshake. Returns what was opened for them.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<O> {
        let late = |connection: &Connection<O>| match connection.stage {
            Stage::Admitted { at, .. } => now.saturating_duration_since(at) >= ADMIT_LIMIT,
            Stage::Opening { .. } | Stage::Carried => false,
        };
        self.flows
            .extract_if(|_, connection| late(connection))
            .filter_map(|(_, connection)| connection.into_opened())
            .collect()
    }

    fn remove(&mut self, flow: Flow) -> Option<Connection<O>> {
        let connection = self.flows.remove(&flow)?;
        if matches!(connection.stage, Stage::Opening { .. }) {
            self.opening -= 1;
        }
        Some(connection)
    }
}

impl<O> Connection<O> {
    fn into_opened(self) -> Option<O> {
        match self.stage {
            Stage::Admitted { opened, .. } => Some(opened),
            Stage::Opening { .. } | Stage::Carried => None,
        }
    }
}

#[cfg(test)]
mod tests;
