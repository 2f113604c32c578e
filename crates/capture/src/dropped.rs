//! Counters of packets and connections that were dropped.

use std::sync::atomic::{AtomicU64, Ordering};

/// Packets that were not carried since the start of a capture, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DroppedPackets {
    /// Malformed, or not IP.
    pub malformed: u64,
    /// Fragments. The kernel makes none for a TUN with the largest MTU.
    pub fragments: u64,
    /// SYNs beyond the number of connections that may wait for the far end.
    pub connections: u64,
    /// DNS questions beyond the number that may wait for an answer.
    pub questions: u64,
    /// Datagrams of the far end for a flow that is over or never was.
    pub strays: u64,
}

/// The counters behind [`DroppedPackets`].
#[derive(Debug, Default)]
pub(crate) struct Dropped {
    pub(crate) malformed: Counter,
    pub(crate) fragments: Counter,
    pub(crate) connections: Counter,
    pub(crate) questions: Counter,
    pub(crate) strays: Counter,
}

#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Dropped {
    pub(crate) fn read(&self) -> DroppedPackets {
        DroppedPackets {
            malformed: self.malformed.read(),
            fragments: self.fragments.read(),
            connections: self.connections.read(),
            questions: self.questions.read(),
            strays: self.strays.read(),
        }
    }
}

impl Counter {
    pub(crate) fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
