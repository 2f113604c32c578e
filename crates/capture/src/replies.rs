//! Replies of the far end that reach the program as packets: UDP, ICMP errors and echo replies.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use crate::dropped::Dropped;
use crate::flows::Flows;
use crate::limits::DATAGRAM_IDLE;
use crate::packet::{self, Unreachable, Unwritable};
use crate::tun::LaptopTun;
use crate::{Echo, Flow};

/// How many UDP flows are kept, DNS and others each.
const MAX_FLOWS: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// Writes the far end's datagrams and echo replies to programs. Clones are equivalent.
///
/// It outlives its [`Capture`](crate::Capture) without keeping any of it alive. Replies after the end are dropped.
#[derive(Debug, Clone)]
pub struct Replies {
    datagrams: Weak<Datagrams>,
}

impl Replies {
    /// A datagram came back on a flow. Dropped if the flow is over.
    pub fn datagram(&self, flow: Flow, payload: &[u8]) {
        let Some(datagrams) = self.datagrams.upgrade() else {
            return;
        };
        if datagrams.received(flow) {
            datagrams.write(|packet| packet::write_udp(packet, flow.to, flow.from, payload));
        }
    }

    /// No socket receives datagrams at the flow's far end: the program gets `ECONNREFUSED`. The flow is over.
    pub fn unreachable(&self, flow: Flow) {
        let Some(datagrams) = self.datagrams.upgrade() else {
            return;
        };
        if datagrams.received(flow) {
            datagrams.flows().forget(flow);
            datagrams.port_unreachable(flow);
        }
    }

    /// An echo was answered. `request` is what [`crate::FarEnd::echo`] got.
    pub fn echo(&self, request: &Echo) {
        let Some(datagrams) = self.datagrams.upgrade() else {
            return;
        };
        datagrams.write(|packet| packet::write_echo_reply(packet, request));
    }
}

/// The UDP flows of a capture, and the TUN that leads to their programs.
#[derive(Debug)]
pub(crate) struct Datagrams {
    flows: Mutex<Flows>,
    laptop: Arc<LaptopTun>,
    dropped: Arc<Dropped>,
}

impl Datagrams {
    pub(crate) fn new(laptop: Arc<LaptopTun>, dropped: Arc<Dropped>) -> Self {
        Self {
            flows: Mutex::new(Flows::new(MAX_FLOWS, DATAGRAM_IDLE)),
            laptop,
            dropped,
        }
    }

    pub(crate) fn replies(self: &Arc<Self>) -> Replies {
        Replies {
            datagrams: Arc::downgrade(self),
        }
    }

    /// A program sent on a flow. Returns the flow that was evicted for it.
    pub(crate) fn sent(&self, flow: Flow) -> Option<Flow> {
        self.flows().sent(Instant::now(), flow)
    }

    /// Forgets the flows that were idle too long, and returns them.
    pub(crate) fn expire(&self, now: Instant) -> Vec<Flow> {
        self.flows().expire(now)
    }

    /// Answers a datagram that no socket receives.
    pub(crate) fn port_unreachable(&self, flow: Flow) {
        // The kernel finds the socket by the quoted addresses and ports alone.
        let mut original = Vec::new();
        if packet::write_udp(&mut original, flow.from, flow.to, &[]).is_ok() {
            self.write(|packet| packet::write_unreachable(packet, Unreachable::Port, &original));
        }
    }

    fn received(&self, flow: Flow) -> bool {
        let known = self.flows().received(Instant::now(), flow);
        if !known {
            self.dropped.strays.count();
        }
        known
    }

    fn write(&self, packet: impl FnOnce(&mut Vec<u8>) -> Result<(), Unwritable>) {
        let mut bytes = Vec::new();
        match packet(&mut bytes) {
            Ok(()) => self.laptop.write(&bytes),
            Err(error) => tracing::debug!(?error, "dropped a reply that does not fit a packet"),
        }
    }

    fn flows(&self) -> MutexGuard<'_, Flows> {
        self.flows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
