//! The way back to the program for what is packets at the far end.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use crate::dropped::Dropped;
use crate::flows::Flows;
use crate::limits::DATAGRAM_IDLE;
use crate::packet::{self, Unreachable, Unwritable};
use crate::tun::LaptopTun;
use crate::{Echo, Flow};

/// How many flows of datagrams are remembered, DNS and others each.
const MAX_FLOWS: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// Takes what the far end answers with packets, and writes it to the program. A clone does the same.
///
/// It outlives its [`Capture`](crate::Capture) harmlessly: it keeps nothing of it, and what is handed in after the end is dropped.
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

    /// Nobody takes datagrams at the flow's far end: the program gets `ECONNREFUSED`. The flow is over.
    pub fn unreachable(&self, flow: Flow) {
        let Some(datagrams) = self.datagrams.upgrade() else {
            return;
        };
        if datagrams.received(flow) {
            datagrams.flows().forget(flow);
            datagrams.port_unreachable(flow);
        }
    }

    /// The reply to an echo: the request as [`crate::FarEnd::echo`] got it.
    pub fn echo(&self, request: &Echo) {
        let Some(datagrams) = self.datagrams.upgrade() else {
            return;
        };
        datagrams.write(|packet| packet::write_echo_reply(packet, request));
    }
}

/// The flows of datagrams of a capture, and the way to their programs.
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

    /// A program sent on a flow. Gives the flow that is over for it.
    pub(crate) fn sent(&self, flow: Flow) -> Option<Flow> {
        self.flows().sent(Instant::now(), flow)
    }

    /// Forgets the flows that are over, and gives them.
    pub(crate) fn expire(&self, now: Instant) -> Vec<Flow> {
        self.flows().expire(now)
    }

    /// Answers a datagram that nobody takes.
    pub(crate) fn port_unreachable(&self, flow: Flow) {
        // The kernel looks for the socket by the quoted addresses and ports alone.
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
            Err(error) => tracing::debug!(?error, "a reply that no packet can hold"),
        }
    }

    fn flows(&self) -> MutexGuard<'_, Flows> {
        self.flows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
