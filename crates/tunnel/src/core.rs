//! Core: every decision of the tunnel, without I/O or clock.
//!
//! The shell passes in the frames that arrived, the bytes that programs wrote, and the time. The core returns the frames
//! to send next on each carrier. Frames that must not be lost are kept until the peer has acknowledged their bytes. When
//! a carrier is lost they are sent again over another one, and the receiver uses offsets and stream numbers to take each
//! byte once.
//!
//! ```text
//! schedule   which frames are sent next on a carrier
//! incoming   frames that arrive over a carrier
//! streams    operations of the shell on streams
//! capacity   which end has no room for another stream
//! ```

mod capacity;
mod incoming;
mod schedule;
mod streams;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Notify;

use self::capacity::Capacity;
pub use self::capacity::Full;
use crate::carrier::{CarrierId, CarrierState, Life};
use crate::frame::{AskError, Farewell, Frame, ResetCause, StreamId, StreamRefusal};
use crate::ids::Seen;
use crate::limits::{CARRIERS, Limits};
use crate::receive::ReceiveHalf;
use crate::send::SendHalf;

/// End of the tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Client,
    Agent,
}

/// Event that the shell must handle.
#[derive(Debug)]
pub(crate) enum Event {
    Incoming {
        stream: StreamId,
        to: std::net::SocketAddr,
    },
    Asked {
        id: u32,
        message: Bytes,
    },
    Answered {
        id: u32,
        outcome: Result<Bytes, AskError>,
    },
    Datagram {
        flow: u32,
        to: std::net::SocketAddr,
        payload: Bytes,
    },
    Delivery {
        flow: u32,
        payload: Bytes,
    },
    Undeliverable {
        flow: u32,
        refusal: StreamRefusal,
    },
    Echo {
        id: u32,
        to: std::net::IpAddr,
        payload: Bytes,
    },
    Echoed {
        id: u32,
        payload: Bytes,
    },
    Goodbye(Farewell),
}

/// Error: the peer sent a frame that its role does not allow.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Breach;

#[derive(Debug)]
struct StreamState {
    send: SendHalf,
    receive: ReceiveHalf,
    opening: Opening,
    reset: Option<ResetCause>,
    /// Whether the handle is gone, while written bytes are still to be sent.
    detached: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opening {
    /// `Open` is not answered yet, by the agent or by the agent's shell.
    Pending,
    Open,
    Refused(StreamRefusal),
}

#[derive(Debug)]
pub(crate) struct Core {
    role: Role,
    limits: Limits,
    streams: HashMap<StreamId, StreamState>,
    next_stream: u32,
    seen: Seen,
    capacity: Capacity,
    carriers: BTreeMap<CarrierId, CarrierState>,
    next_carrier: u32,
    urgent: VecDeque<Frame>,
    again: VecDeque<Frame>,
    loose: VecDeque<Frame>,
    conversations: VecDeque<StreamId>,
    bulk: VecDeque<StreamId>,
    held: u64,
    sent: u64,
    received: u64,
    dropped_datagrams: u64,
}

impl Core {
    pub(crate) fn new(role: Role, limits: Limits) -> Core {
        Core {
            role,
            limits,
            streams: HashMap::new(),
            next_stream: 1,
            seen: Seen::starting_at(StreamId(1)),
            capacity: Capacity::default(),
            carriers: BTreeMap::new(),
            next_carrier: 1,
            urgent: VecDeque::new(),
            again: VecDeque::new(),
            loose: VecDeque::new(),
            conversations: VecDeque::new(),
            bulk: VecDeque::new(),
            held: 0,
            sent: 0,
            received: 0,
            dropped_datagrams: 0,
        }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn stream_count(&self) -> usize {
        self.streams.len()
    }

    /// Returns the end that has no room for another stream, if one refused a stream and nothing has changed since.
    pub(crate) fn full(&mut self) -> Option<Full> {
        self.capacity.full(self.streams.len())
    }

    /// Returns the number of carriers without those whose answer to a ping is overdue.
    pub(crate) fn carrier_count(&self) -> usize {
        let doubted = |carrier: &&CarrierState| carrier.is_doubted();
        self.carriers.len() - self.carriers.values().filter(doubted).count()
    }

    /// Returns the stream bytes sent and received.
    pub(crate) fn volume(&self) -> (u64, u64) {
        (self.sent, self.received)
    }

    /// Returns the number of datagrams that were dropped because the queue was full.
    pub(crate) fn dropped_datagrams(&self) -> u64 {
        self.dropped_datagrams
    }

    /// Returns the shortest round trip of all carriers.
    pub(crate) fn rtt(&self) -> Option<Duration> {
        self.carriers.values().filter_map(CarrierState::rtt).min()
    }

    /// Adds a carrier after its proof. If there are more than [`CARRIERS`] now, one of the others must be dead, so all are
    /// suspected.
    pub(crate) fn attach(&mut self, now: Instant) -> (CarrierId, Arc<Notify>) {
        if self.carriers.len() >= CARRIERS {
            self.suspect_all(now);
        }
        let id = CarrierId(self.next_carrier);
        self.next_carrier += 1;
        let carrier = CarrierState::new(now);
        let wake = carrier.wake.clone();
        self.carriers.insert(id, carrier);
        (id, wake)
    }

    /// Removes a carrier. Frames that it may have lost are sent again.
    pub(crate) fn lose(&mut self, id: CarrierId) {
        let Some(carrier) = self.carriers.remove(&id) else {
            return;
        };
        for frame in carrier.into_unacknowledged().rev() {
            let is_data = matches!(frame, Frame::Data { .. });
            let queue = if is_data {
                &mut self.again
            } else {
                &mut self.urgent
            };
            queue.push_front(frame);
        }
        self.wake_all_writers();
    }

    /// Pings every carrier, and gives each only the shorter limit to answer.
    pub(crate) fn suspect_all(&mut self, now: Instant) {
        for carrier in self.carriers.values_mut() {
            carrier.suspect(now);
            wake_writer(carrier);
        }
    }

    /// Judges whether a carrier is alive, and pings a silent one.
    pub(crate) fn tick(&mut self, id: CarrierId, now: Instant) -> Life {
        let Some(carrier) = self.carriers.get_mut(&id) else {
            return Life::Dead;
        };
        let life = carrier.life(now, &self.limits);
        if life == Life::Ask {
            wake_writer(carrier);
        }
        life
    }
}

impl StreamState {
    fn new(limits: &Limits) -> StreamState {
        StreamState {
            send: SendHalf::default(),
            receive: ReceiveHalf::new(limits.first_credit),
            opening: Opening::Pending,
            reset: None,
            detached: false,
        }
    }

    fn fail(&mut self, cause: ResetCause) {
        self.reset.get_or_insert(cause);
        wake(&mut self.send.waker);
        wake(&mut self.receive.waker);
    }

    fn is_finishing(&self) -> bool {
        self.send.is_finishing()
    }
}

fn wake_writer(carrier: &mut CarrierState) {
    if std::mem::take(&mut carrier.idle) {
        carrier.wake.notify_one();
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

fn wire_length(frame: &Frame) -> u64 {
    frame.wire_length() as u64
}

#[cfg(test)]
mod tests;
