//! Counters of packets and connections that were dropped.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// Packets that were not carried since the start of a capture, by reason.
#[derive(Debug, Default)]
pub(crate) struct Dropped {
    /// Malformed, or not IP.
    pub(crate) malformed: Counter,
    /// Fragments. The kernel makes none for a TUN with the largest MTU.
    pub(crate) fragments: Counter,
    /// SYNs beyond the number of connections that may wait for the far end.
    pub(crate) connections: Counter,
    /// DNS questions beyond the number that may wait for an answer.
    pub(crate) questions: Counter,
    /// Datagrams of the far end for a flow that is over or never was.
    pub(crate) strays: Counter,
}

#[derive(Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.load(Ordering::Relaxed).fmt(f)
    }
}
