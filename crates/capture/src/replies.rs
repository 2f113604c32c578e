//! The way back to the program for what is packets at the far end.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::dropped::Dropped;
use crate::flows::Flows;
use crate::packet::{self, Unreachable};
use crate::tun::LaptopTun;
use crate::{Capture, Echo, Flow};

/// How many flows of datagrams are remembered, DNS and others each.
const MAX_FLOWS: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// Takes what the far end answers with packets, and writes it to the program. A clone does the same.
///
/// It outlives its [`Capture`] harmlessly: what is handed in after the end is dropped.
#[derive(Debug, Clone)]
pub struct Replies {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    flows: Mutex<Flows>,
    laptop: Arc<LaptopTun>,
    dropped: Arc<Dropped>,
}

impl Replies {
    pub(crate) fn new(laptop: Arc<LaptopTun>, dropped: Arc<Dropped>) -> Self {
        let flows = Mutex::new(Flows::new(MAX_FLOWS, Capture::DATAGRAM_IDLE));
        Self {
            shared: Arc::new(Shared {
                flows,
                laptop,
                dropped,
            }),
        }
    }

    /// A datagram came back on a flow. Dropped if the flow is over.
    pub fn datagram(&self, flow: Flow, payload: &[u8]) {
        if !self.flows().received(Instant::now(), flow) {
            return self.shared.dropped.strays.count();
        }
        self.write(|packet| packet::write_udp(packet, flow.to, flow.from, payload));
    }

    /// Nobody takes datagrams at the flow's far end: the program gets `ECONNREFUSED`. The flow is over.
    pub fn unreachable(&self, flow: Flow) {
        if !self.flows().received(Instant::now(), flow) {
            return self.shared.dropped.strays.count();
        }
        self.flows().forget(flow);
        self.port_unreachable(flow);
    }

    /// The reply to an echo: the request as [`crate::FarEnd::echo`] got it.
    pub fn echo(&self, request: &Echo) {
        self.write(|packet| packet::write_echo_reply(packet, request));
    }

    /// A program sent on a flow. Gives the flow that is over for it.
    pub(crate) fn sent(&self, flow: Flow) -> Option<Flow> {
        self.flows().sent(Instant::now(), flow)
    }

    /// Forgets the flows that are over, and gives them.
    pub(crate) fn expire(&self, now: Instant) -> Vec<Flow> {
        self.flows().expire(now)
    }

    /// Answers a datagram that nobody takes, whether or not it is of a known flow.
    pub(crate) fn port_unreachable(&self, flow: Flow) {
        // The kernel looks for the socket by the quoted addresses and ports alone.
        let mut original = Vec::new();
        if packet::write_udp(&mut original, flow.from, flow.to, &[]).is_ok() {
            self.write(|packet| packet::write_unreachable(packet, Unreachable::Port, &original));
        }
    }

    fn write(&self, packet: impl FnOnce(&mut Vec<u8>) -> Result<(), packet::Unwritable>) {
        let mut bytes = Vec::new();
        match packet(&mut bytes) {
            Ok(()) => self.shared.laptop.write(&bytes),
            Err(error) => tracing::debug!(?error, "a reply that no packet can hold"),
        }
    }

    fn flows(&self) -> MutexGuard<'_, Flows> {
        self.shared.flows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
