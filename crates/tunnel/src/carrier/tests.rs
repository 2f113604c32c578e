//! Tests of carrier.

use super::*;

fn limits() -> Limits {
    Limits {
        least_in_flight: 100,
        most_in_flight: 100_000,
        ..Limits::default()
    }
}

#[test]
fn a_carrier_holds_no_more_than_its_rate_allows() {
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
fn an_acknowledgement_of_unsent_bytes_is_ignored() {
    let start = Instant::now();
    let mut carrier = CarrierState::new(start);
    carrier.note_sent(start, 50, None);
    carrier.ack(start, 51);
    assert_eq!(carrier.room(&limits(), 0), 50);
}

#[test]
fn only_unacknowledged_frames_are_sent_again() {
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
fn a_silent_carrier_is_pinged_once_and_then_dead() {
    let start = Instant::now();
    let limits = Limits::default();
    let mut carrier = CarrierState::new(start);
    let _ = carrier.own_frame(start, &limits, false);
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

/// Returns a suspected carrier whose ping was sent.
fn suspected(start: Instant, limits: &Limits) -> CarrierState {
    let mut carrier = CarrierState::new(start);
    let _ = carrier.own_frame(start, limits, false);
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
    // Bytes that were in the buffers are no sign of life, and another suspicion does not extend the limit.
    carrier.note_received(start + Duration::from_millis(5), 1);
    carrier.suspect(late - Duration::from_millis(1));
    assert_eq!(
        carrier.life(late - Duration::from_millis(1), &limits),
        Life::Alive
    );
    assert_eq!(carrier.life(late, &limits), Life::Dead);
}

#[test]
fn a_suspected_carrier_that_sends_anything_is_alive() {
    let (start, limits) = (Instant::now(), Limits::default());
    let late = start + limits.dead_after_suspicion;
    let mut answers = suspected(start, &limits);
    answers.pong(start + Duration::from_millis(5), 2);
    assert_eq!(answers.life(late, &limits), Life::Alive);
    // A slow carrier with much data in front of the answer.
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
