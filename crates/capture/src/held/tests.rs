//! Tests of the table of held connections.

use super::*;
use proptest::prelude::*;

fn flow(port: u16) -> Flow {
    Flow {
        from: format!("198.18.0.1:{port}").parse().unwrap(),
        to: "10.96.0.10:80".parse().unwrap(),
    }
}

fn table() -> HeldConnections<&'static str> {
    HeldConnections::new(2)
}

fn open(table: &mut HeldConnections<&'static str>, port: u16, seq: u32) -> Ticket {
    let verdict = table.syn(flow(port), seq, b"syn");
    let Verdict::Open(ticket) = verdict else {
        panic!("not open but {verdict:?}")
    };
    ticket
}

#[test]
fn a_syn_is_held_until_the_far_end_answered() {
    let (mut table, now) = (table(), Instant::now());
    let ticket = open(&mut table, 1, 7);
    assert_eq!(table.syn(flow(1), 7, b"again"), Verdict::Swallow);
    assert_eq!(table.accepted(flow(1)), None);
    assert_eq!(
        table.opened(now, flow(1), ticket, "stream").as_deref(),
        Ok(&b"syn"[..])
    );
    assert_eq!(table.syn(flow(1), 7, b"again"), Verdict::Pass);
    assert_eq!(table.accepted(flow(1)), Some((ticket, "stream")));
    assert_eq!(table.accepted(flow(1)), None);
    assert_eq!(table.syn(flow(1), 7, b"again"), Verdict::Pass);
}

#[test]
fn a_refused_connection_may_be_tried_again() {
    let mut table = table();
    let ticket = open(&mut table, 1, 7);
    assert_eq!(table.refused(flow(1), ticket).as_deref(), Some(&b"syn"[..]));
    assert_eq!(table.refused(flow(1), ticket), None);
    open(&mut table, 1, 7);
}

#[test]
fn a_program_that_gave_up_leaves_nothing_behind() {
    let (mut table, now) = (table(), Instant::now());
    let ticket = open(&mut table, 1, 7);
    assert_eq!(table.reset(flow(1)), None);
    assert_eq!(table.opened(now, flow(1), ticket, "late"), Err("late"));

    let ticket = open(&mut table, 1, 8);
    assert!(table.opened(now, flow(1), ticket, "stream").is_ok());
    assert_eq!(table.reset(flow(1)), Some("stream"));
    assert_eq!(table.accepted(flow(1)), None);
    assert!(table.flows.is_empty());
}

#[test]
fn a_new_connection_on_a_used_flow_is_not_the_old_one() {
    let (mut table, now) = (table(), Instant::now());
    let old = open(&mut table, 1, 7);
    let new = open(&mut table, 1, 8);
    assert_eq!(table.opened(now, flow(1), old, "old"), Err("old"));
    assert_eq!(table.refused(flow(1), old), None);
    table.ended(flow(1), old);
    assert!(table.opened(now, flow(1), new, "new").is_ok());
    assert_eq!(table.accepted(flow(1)), Some((new, "new")));
}

#[test]
fn a_reset_of_a_carried_connection_is_left_to_its_socket() {
    let (mut table, now) = (table(), Instant::now());
    let ticket = open(&mut table, 1, 7);
    assert!(table.opened(now, flow(1), ticket, "stream").is_ok());
    table.accepted(flow(1)).unwrap();
    assert_eq!(table.reset(flow(1)), None);
    assert_eq!(table.syn(flow(1), 7, b"again"), Verdict::Pass);
    table.ended(flow(1), ticket);
    assert!(table.flows.is_empty());
}

#[test]
fn a_handshake_that_never_completes_is_forgotten() {
    let (mut table, now) = (table(), Instant::now());
    let ticket = open(&mut table, 1, 7);
    assert!(table.opened(now, flow(1), ticket, "stream").is_ok());
    assert!(
        table
            .expire(now + ADMIT_LIMIT - Duration::from_millis(1))
            .is_empty()
    );
    assert_eq!(table.expire(now + ADMIT_LIMIT), ["stream"]);
    assert!(table.flows.is_empty());
}

#[test]
fn only_so_many_are_held_at_a_time() {
    let mut table = table();
    let first = open(&mut table, 1, 1);
    open(&mut table, 2, 1);
    assert_eq!(table.syn(flow(3), 1, b"syn"), Verdict::Full);
    assert_eq!(table.syn(flow(1), 1, b"syn"), Verdict::Swallow);
    table.refused(flow(1), first);
    open(&mut table, 3, 1);
}

proptest! {
    /// Whatever happens in whatever order, the count of held SYNs is right and nothing opened is lost: it is
    /// given back, accepted, or still there.
    #[test]
    fn nothing_opened_is_lost(events in proptest::collection::vec((0u8..7, 0u16..3, 0u32..2), 0..200)) {
        let mut table: HeldConnections<u64> = HeldConnections::new(2);
        let mut now = Instant::now();
        let mut tickets: Vec<(Flow, Ticket)> = Vec::new();
        let (mut handed_in, mut came_out) = (0u64, 0u64);
        for (event, port, seq) in events {
            let flow = flow(port);
            let mine = tickets.iter().rev().find(|(of, _)| *of == flow).map(|(_, ticket)| *ticket);
            match (event, mine) {
                (0 | 1, _) => {
                    // A SYN with another number pushes out what was admitted for the one before.
                    let pushed = table.flows.get(&flow).is_some_and(|known| {
                        known.initial_seq != seq && matches!(known.stage, Stage::Admitted { .. })
                    });
                    came_out += u64::from(pushed);
                    if let Verdict::Open(ticket) = table.syn(flow, seq, b"syn") {
                        tickets.push((flow, ticket));
                    }
                }
                (2, Some(ticket)) => {
                    handed_in += 1;
                    came_out += u64::from(table.opened(now, flow, ticket, 0).is_err());
                }
                (3, Some(ticket)) => {
                    let admitted = table.flows.get(&flow)
                        .is_some_and(|known| known.ticket == ticket && matches!(known.stage, Stage::Admitted { .. }));
                    prop_assert!(table.refused(flow, ticket).is_none() || !admitted);
                    came_out += u64::from(admitted);
                }
                (4, _) => came_out += u64::from(table.reset(flow).is_some()),
                (5, _) => came_out += u64::from(table.accepted(flow).is_some()),
                (6, _) => {
                    now += ADMIT_LIMIT / 2;
                    came_out += u64::try_from(table.expire(now).len()).unwrap();
                }
                _ => {}
            }
            let opening = table.flows.values().filter(|known| matches!(known.stage, Stage::Opening { .. })).count();
            let inside = table.flows.values().filter(|known| matches!(known.stage, Stage::Admitted { .. })).count();
            prop_assert_eq!(table.opening, opening);
            prop_assert!(opening <= 2);
            prop_assert_eq!(handed_in, came_out + u64::try_from(inside).unwrap());
        }
    }
}
