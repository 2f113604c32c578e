//! State of one carrier in the core: bytes in flight, measured rate, and whether it is alive.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::frame::Frame;
use crate::limits::Limits;

/// Number of a carrier, unique within a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CarrierId(pub(crate) u32);

/// Time for which a measured rate or round trip counts.
const MEMORY: Duration = Duration::from_secs(5);

/// Time added to the round trip when the window is computed. On a busy machine each hop waits to be scheduled. Without
/// this slack a lower measured rate would shrink the window, and a smaller window would lower the rate.
const SLACK: Duration = Duration::from_millis(10);

/// Length on the wire from which on a frame carries bulk data, and how long a carrier counts as busy after such a frame.
const BULK_FRAME: u64 = 16 * 1024;
const BUSY: Duration = Duration::from_millis(100);

/// Shortest time with which a rate is computed. Anything shorter is the resolution of the clock.
const SHORTEST_MEASURE: Duration = Duration::from_micros(50);

#[derive(Debug)]
pub(crate) struct CarrierState {
    /// Wakes the writer of this carrier.
    pub(crate) wake: Arc<Notify>,
    /// Whether the writer found nothing to send and waits for `wake`.
    pub(crate) idle: bool,
    sent: u64,
    acked: u64,
    in_flight: VecDeque<InFlight>,
    received: u64,
    ack_sent: u64,
    pong_due: Option<u64>,
    ping: Ping,
    heard_at: Instant,
    /// When the last bulk data passed, in either direction.
    bulk_at: Option<Instant>,
    /// Since when the carrier is suspected to be dead.
    suspected_at: Option<Instant>,
    /// Whether the answer to a ping is overdue.
    doubted: bool,
    rates: Recent<u64>,
    round_trips: Recent<Duration>,
}

#[derive(Debug)]
struct InFlight {
    end: u64,
    sent_at: Instant,
    acked_then: u64,
    acked_then_at: Instant,
    /// Frame to send again when the carrier is lost; `None` if it may be lost.
    frame: Option<Frame>,
}

#[derive(Debug, Default)]
struct Ping {
    due: bool,
    asked_at: Option<Instant>,
    token: u64,
}

/// Result of judging a carrier's silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Alive,
    /// The carrier must be pinged.
    Ask,
    Dead,
}

impl CarrierState {
    pub(crate) fn new(now: Instant) -> CarrierState {
        CarrierState {
            wake: Arc::new(Notify::new()),
            idle: false,
            sent: 0,
            acked: 0,
            in_flight: VecDeque::new(),
            received: 0,
            ack_sent: 0,
            pong_due: None,
            // The first ping measures the round trip before any frame is acknowledged.
            ping: Ping {
                due: true,
                asked_at: None,
                token: 0,
            },
            heard_at: now,
            bulk_at: None,
            suspected_at: None,
            doubted: false,
            rates: Recent::new(now),
            round_trips: Recent::new(now),
        }
    }

    /// Returns the smallest recent round trip.
    pub(crate) fn rtt(&self) -> Option<Duration> {
        self.round_trips.best(std::cmp::Ordering::Less)
    }

    /// Returns how many bytes may be sent before some are acknowledged. `beyond` is added for frames other than bulk data.
    ///
    /// The hops between the ends would buffer megabytes, and urgent frames cannot overtake bytes in those buffers. So the
    /// window is what one and a half round trips and [`SLACK`] hold at the measured rate.
    pub(crate) fn room(&self, limits: &Limits, beyond: u64) -> u64 {
        let trip = self.rtt().unwrap_or_default() * 3 / 2 + SLACK;
        let rate = self.rates.best(std::cmp::Ordering::Greater).unwrap_or_default();
        let holds = u64::try_from(u128::from(rate) * trip.as_micros() / 1_000_000).unwrap_or(u64::MAX);
        let most = holds.clamp(limits.least_in_flight, limits.most_in_flight);
        (most + beyond).saturating_sub(self.sent - self.acked)
    }

    /// Returns the next frame that concerns only this carrier; it precedes all others.
    ///
    /// An acknowledgement accompanies other frames, or is sent alone when enough bytes have arrived.
    pub(crate) fn own_frame(
        &mut self,
        now: Instant,
        limits: &Limits,
        something_follows: bool,
    ) -> Option<Frame> {
        if let Some(token) = self.pong_due.take() {
            return Some(Frame::Pong { token });
        }
        if std::mem::take(&mut self.ping.due) {
            self.ping.token += 1;
            self.ping.asked_at = Some(now);
            return Some(Frame::Ping {
                token: self.ping.token,
            });
        }
        let unacknowledged = self.received - self.ack_sent;
        if unacknowledged >= limits.ack_every || (unacknowledged > 0 && something_follows) {
            self.ack_sent = self.received;
            return Some(Frame::Ack {
                received: self.received,
            });
        }
        None
    }

    /// Returns whether a frame of the carrier itself must be sent even if there are no others.
    pub(crate) fn wants_to_send(&self, limits: &Limits) -> bool {
        self.pong_due.is_some() || self.ping.due || self.received - self.ack_sent >= limits.ack_every
    }

    /// Records that a frame of `length` bytes on the wire is sent.
    pub(crate) fn note_sent(&mut self, now: Instant, length: u64, keep: Option<Frame>) {
        self.sent += length;
        self.note_bulk(now, length);
        self.in_flight.push_back(InFlight {
            end: self.sent,
            sent_at: now,
            acked_then: self.acked,
            acked_then_at: now,
            frame: keep,
        });
    }

    /// Records that a frame of `length` bytes on the wire arrived.
    pub(crate) fn note_received(&mut self, now: Instant, length: u64) {
        self.received += length;
        self.heard_at = now;
        self.note_bulk(now, length);
        self.doubted = false;
    }

    fn note_bulk(&mut self, now: Instant, length: u64) {
        if length >= BULK_FRAME {
            self.bulk_at = Some(now);
        }
    }

    /// Returns whether bulk data passes: other frames would wait behind it, or in hops that move it.
    pub(crate) fn is_busy(&self, now: Instant) -> bool {
        self.bulk_at.is_some_and(|at| now.duration_since(at) < BUSY)
    }

    /// Returns whether the carrier may be dead: the answer to a ping is overdue.
    pub(crate) fn is_doubted(&self) -> bool {
        self.doubted
    }

    /// Pings the carrier at once, with a shorter limit than usual for the answer.
    pub(crate) fn suspect(&mut self, now: Instant) {
        self.suspected_at.get_or_insert(now);
        self.ping.due = true;
    }

    pub(crate) fn ping(&mut self, token: u64) {
        self.pong_due = Some(token);
    }

    pub(crate) fn pong(&mut self, now: Instant, token: u64) {
        if token == self.ping.token
            && let Some(asked_at) = self.ping.asked_at.take()
        {
            self.round_trips
                .note(now, now.duration_since(asked_at), std::cmp::Ordering::Less);
            if !self.ping.due {
                self.suspected_at = None;
            }
        }
    }

    pub(crate) fn ack(&mut self, now: Instant, received: u64) {
        if received <= self.acked || received > self.sent {
            return;
        }
        let mut newest = None;
        while self
            .in_flight
            .front()
            .is_some_and(|oldest| oldest.end <= received)
        {
            newest = self.in_flight.pop_front();
        }
        self.acked = received;
        let Some(newest) = newest else { return };
        let trip = now.duration_since(newest.sent_at);
        let taken = now.duration_since(newest.acked_then_at).max(SHORTEST_MEASURE);
        let rate = u128::from(received - newest.acked_then) * 1_000_000 / taken.as_micros().max(1);
        self.round_trips.note(now, trip, std::cmp::Ordering::Less);
        self.rates.note(
            now,
            u64::try_from(rate).unwrap_or(u64::MAX),
            std::cmp::Ordering::Greater,
        );
    }

    /// Judges the silence at `now`. With [`Life::Ask`] a ping is due.
    pub(crate) fn life(&mut self, now: Instant, limits: &Limits) -> Life {
        let silent = now.duration_since(self.heard_at);
        if silent >= limits.dead_after {
            return Life::Dead;
        }
        if let Some(since) = self.suspected_at
            && now.duration_since(since) >= limits.dead_after_suspicion
        {
            // Bytes that arrived early may have been in the kernel's buffers before the suspicion arose.
            if self.heard_at < since + limits.dead_after_suspicion / 2 {
                return Life::Dead;
            }
            self.suspected_at = None;
        }
        self.doubted = silent >= limits.ping_after * 2;
        let waiting = self.ping.due || self.ping.asked_at.is_some();
        if silent < limits.ping_after || waiting && silent < limits.ping_after * 2 {
            return Life::Alive;
        }
        self.ping.due = true;
        Life::Ask
    }

    /// Returns the frames to send again over another carrier, in their original order.
    pub(crate) fn into_unacknowledged(self) -> impl DoubleEndedIterator<Item = Frame> {
        self.in_flight.into_iter().filter_map(|sent| sent.frame)
    }
}

/// Best of the recently recorded values, of the last one or two spans of [`MEMORY`].
#[derive(Debug)]
struct Recent<T> {
    since: Instant,
    now: Option<T>,
    before: Option<T>,
}

impl<T: Copy + Ord> Recent<T> {
    fn new(since: Instant) -> Recent<T> {
        Recent {
            since,
            now: None,
            before: None,
        }
    }

    fn note(&mut self, at: Instant, value: T, better: std::cmp::Ordering) {
        if at.duration_since(self.since) >= MEMORY {
            self.since = at;
            self.before = self.now.take();
        }
        if self.now.is_none_or(|best| value.cmp(&best) == better) {
            self.now = Some(value);
        }
    }

    fn best(&self, better: std::cmp::Ordering) -> Option<T> {
        match (self.now, self.before) {
            (Some(a), Some(b)) => Some(if b.cmp(&a) == better { b } else { a }),
            (a, b) => a.or(b),
        }
    }
}

#[cfg(test)]
mod tests;
