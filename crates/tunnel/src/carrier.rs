//! What the core knows of one carrier: what is under way on it, how fast it is, whether it lives.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::frame::Frame;
use crate::limits::Limits;

/// Names one carrier for the life of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CarrierId(pub(crate) u32);

/// How long a measured rate or round trip counts.
const MEMORY: Duration = Duration::from_secs(5);

/// What a carrier may hold beyond its round trips. On a busy machine each hop waits for its turn: with less, what may
/// be under way falls with the measured rate, and the rate with what may be under way.
const SLACK: Duration = Duration::from_millis(10);

/// The shortest time by which a rate is measured; what seems shorter is the clock's grain.
const SHORTEST_MEASURE: Duration = Duration::from_micros(50);

#[derive(Debug)]
pub(crate) struct CarrierState {
    /// Rouses the writer of this carrier.
    pub(crate) wake: Arc<Notify>,
    /// The writer found nothing to send and waits to be roused.
    pub(crate) idle: bool,
    sent: u64,
    acked: u64,
    under_way: VecDeque<UnderWay>,
    received: u64,
    ack_told: u64,
    pong_due: Option<u64>,
    ping: Ping,
    heard_at: Instant,
    /// Since when there is reason to think that it is dead.
    suspected_at: Option<Instant>,
    /// It was asked for a sign of life and gave none for as long as that may take.
    doubted: bool,
    fastest: Recent<u64>,
    nearest: Recent<Duration>,
}

#[derive(Debug)]
struct UnderWay {
    end: u64,
    sent_at: Instant,
    acked_then: u64,
    acked_then_at: Instant,
    /// To be sent again when the carrier is lost; `None` for frames that are not worth it.
    frame: Option<Frame>,
}

#[derive(Debug, Default)]
struct Ping {
    due: bool,
    asked_at: Option<Instant>,
    token: u64,
}

/// What a carrier's silence means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Alive,
    /// It is to be asked for a sign of life.
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
            under_way: VecDeque::new(),
            received: 0,
            ack_told: 0,
            pong_due: None,
            // A first ping measures the round trip before there is anything else to measure it by.
            ping: Ping {
                due: true,
                asked_at: None,
                token: 0,
            },
            heard_at: now,
            suspected_at: None,
            doubted: false,
            fastest: Recent::new(now),
            nearest: Recent::new(now),
        }
    }

    /// The smallest round trip of late.
    pub(crate) fn rtt(&self) -> Option<Duration> {
        self.nearest.best(std::cmp::Ordering::Less)
    }

    /// Bytes that may still be sent before some are acknowledged, `beyond` more than bulk data may.
    ///
    /// The hops in between would take megabytes; what lies there cannot be overtaken. So no more is under way
    /// than one and a half round trips and [`SLACK`] hold at the measured rate.
    pub(crate) fn room(&self, limits: &Limits, beyond: u64) -> u64 {
        let trip = self.rtt().unwrap_or_default() * 3 / 2 + SLACK;
        let rate = self.fastest.best(std::cmp::Ordering::Greater).unwrap_or_default();
        let holds = u64::try_from(u128::from(rate) * trip.as_micros() / 1_000_000).unwrap_or(u64::MAX);
        let most = holds.clamp(limits.least_in_flight, limits.most_in_flight);
        (most + beyond).saturating_sub(self.sent - self.acked)
    }

    /// A frame of the carrier's own, which goes before all others.
    ///
    /// An acknowledgement rides along with whatever is sent, or goes alone once enough came.
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
        let untold = self.received - self.ack_told;
        if untold >= limits.ack_every || (untold > 0 && something_follows) {
            self.ack_told = self.received;
            return Some(Frame::Ack {
                received: self.received,
            });
        }
        None
    }

    /// Whether the writer has something of the carrier's own to send, apart from anything else.
    pub(crate) fn wants_to_send(&self, limits: &Limits) -> bool {
        self.pong_due.is_some() || self.ping.due || self.received - self.ack_told >= limits.ack_every
    }

    /// Notes that a frame of `length` bytes on the wire goes out.
    pub(crate) fn note_sent(&mut self, now: Instant, length: u64, keep: Option<Frame>) {
        self.sent += length;
        self.under_way.push_back(UnderWay {
            end: self.sent,
            sent_at: now,
            acked_then: self.acked,
            acked_then_at: now,
            frame: keep,
        });
    }

    /// Notes that a frame of `length` bytes on the wire came.
    pub(crate) fn note_received(&mut self, now: Instant, length: u64) {
        self.received += length;
        self.heard_at = now;
        self.doubted = false;
    }

    /// Whether it may be dead, as far as anybody can tell yet.
    pub(crate) fn is_doubted(&self) -> bool {
        self.doubted
    }

    /// Has it asked for a sign of life at once, which is not waited for as long as usual.
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
            self.nearest
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
            .under_way
            .front()
            .is_some_and(|oldest| oldest.end <= received)
        {
            newest = self.under_way.pop_front();
        }
        self.acked = received;
        let Some(newest) = newest else { return };
        let trip = now.duration_since(newest.sent_at);
        let taken = now.duration_since(newest.acked_then_at).max(SHORTEST_MEASURE);
        let rate = u128::from(received - newest.acked_then) * 1_000_000 / taken.as_micros().max(1);
        self.nearest.note(now, trip, std::cmp::Ordering::Less);
        self.fastest.note(
            now,
            u64::try_from(rate).unwrap_or(u64::MAX),
            std::cmp::Ordering::Greater,
        );
    }

    /// Judges the silence at `now`; an answer of [`Life::Ask`] makes a ping due.
    pub(crate) fn life(&mut self, now: Instant, limits: &Limits) -> Life {
        let silent = now.duration_since(self.heard_at);
        if silent >= limits.dead_after {
            return Life::Dead;
        }
        if let Some(since) = self.suspected_at
            && now.duration_since(since) >= limits.dead_after_suspicion
        {
            // What was heard at first may have come before the reason, and have waited in the kernel.
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

    /// What has to go out again over another carrier, in the order in which it was sent.
    pub(crate) fn into_unacknowledged(self) -> impl DoubleEndedIterator<Item = Frame> {
        self.under_way.into_iter().filter_map(|sent| sent.frame)
    }
}

/// The best of the values that were noted of late: within one or two spans of [`MEMORY`].
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
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits {
            least_in_flight: 100,
            most_in_flight: 100_000,
            ..Limits::default()
        }
    }

    #[test]
    fn a_carrier_holds_no_more_than_its_rate_and_round_trip_ask_for() {
        let start = Instant::now();
        let mut carrier = CarrierState::new(start);
        assert_eq!(carrier.room(&limits(), 0), 100, "nothing is known yet");
        carrier.note_sent(start, 100, None);
        assert_eq!(carrier.room(&limits(), 0), 0);
        // 100 bytes in 10 ms: 10,000 a second; in 1.5 * 10 ms + 10 ms that is 250 bytes.
        carrier.ack(start + Duration::from_millis(10), 100);
        assert_eq!(carrier.room(&limits(), 0), 250);
    }

    #[test]
    fn an_acknowledgement_beyond_what_was_sent_is_ignored() {
        let start = Instant::now();
        let mut carrier = CarrierState::new(start);
        carrier.note_sent(start, 50, None);
        carrier.ack(start, 51);
        assert_eq!(carrier.room(&limits(), 0), 50);
    }

    #[test]
    fn only_what_was_not_acknowledged_goes_out_again() {
        let start = Instant::now();
        let mut carrier = CarrierState::new(start);
        carrier.note_sent(start, 10, Some(Frame::Ping { token: 1 }));
        carrier.note_sent(start, 10, None);
        carrier.note_sent(start, 10, Some(Frame::Ping { token: 3 }));
        carrier.ack(start, 20);
        let again: Vec<_> = carrier.into_unacknowledged().collect();
        assert_eq!(again, [Frame::Ping { token: 3 }]);
    }

    #[test]
    fn silence_is_asked_about_once_and_then_is_death() {
        let start = Instant::now();
        let limits = Limits::default();
        let mut carrier = CarrierState::new(start);
        let _first_ping = carrier.own_frame(start, &limits, false);
        carrier.pong(start, 1);
        assert_eq!(carrier.life(start + Duration::from_secs(1), &limits), Life::Alive);
        assert_eq!(carrier.life(start + limits.ping_after, &limits), Life::Ask);
        assert!(matches!(
            carrier.own_frame(start, &limits, false),
            Some(Frame::Ping { .. })
        ));
        assert_eq!(carrier.life(start + limits.ping_after, &limits), Life::Alive);
        assert_eq!(carrier.life(start + limits.dead_after, &limits), Life::Dead);
    }

    /// A carrier that is suspected, and was asked for a sign of life.
    fn suspected(start: Instant, limits: &Limits) -> CarrierState {
        let mut carrier = CarrierState::new(start);
        let _first_ping = carrier.own_frame(start, limits, false);
        carrier.pong(start, 1);
        carrier.suspect(start);
        assert!(matches!(
            carrier.own_frame(start, limits, false),
            Some(Frame::Ping { token: 2 })
        ));
        carrier
    }

    #[test]
    fn a_suspected_carrier_that_says_nothing_is_dead_soon() {
        let (start, limits) = (Instant::now(), Limits::default());
        let late = start + limits.dead_after_suspicion;
        let mut carrier = suspected(start, &limits);
        // What had come before is no sign of life, and more reasons make it no younger.
        carrier.note_received(start + Duration::from_millis(5), 1);
        carrier.suspect(late - Duration::from_millis(1));
        assert_eq!(
            carrier.life(late - Duration::from_millis(1), &limits),
            Life::Alive
        );
        assert_eq!(carrier.life(late, &limits), Life::Dead);
    }

    #[test]
    fn a_suspected_carrier_that_answers_or_goes_on_is_alive() {
        let (start, limits) = (Instant::now(), Limits::default());
        let late = start + limits.dead_after_suspicion;
        let mut answers = suspected(start, &limits);
        answers.pong(start + Duration::from_millis(5), 2);
        assert_eq!(answers.life(late, &limits), Life::Alive);
        // A slow one that is full of data, behind which the answer waits.
        let mut goes_on = suspected(start, &limits);
        goes_on.note_received(late - Duration::from_millis(1), 1);
        assert_eq!(goes_on.life(late, &limits), Life::Alive);
    }

    #[test]
    fn a_carrier_is_doubted_while_it_owes_a_sign_of_life() {
        let start = Instant::now();
        let limits = Limits::default();
        let mut carrier = CarrierState::new(start);
        let doubted = start + limits.ping_after * 2;
        carrier.life(doubted - Duration::from_millis(1), &limits);
        assert!(!carrier.is_doubted());
        carrier.life(doubted, &limits);
        assert!(carrier.is_doubted());
        carrier.note_received(doubted, 1);
        assert!(!carrier.is_doubted(), "it lives");
    }
}
