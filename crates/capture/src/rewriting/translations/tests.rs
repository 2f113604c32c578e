//! Tests of the translation table.

use super::*;
use crate::packet::{self, Content};

const LISTENER: &str = "198.18.0.1:40000";
const PEER: &str = "198.18.0.2";
const FIN: u8 = 0x01;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

fn flow(from: u16, to: &str) -> Flow {
    Flow {
        from: format!("198.18.0.1:{from}").parse().unwrap(),
        to: to.parse().unwrap(),
    }
}

fn translations(ports: u16) -> Translations {
    Translations::new(
        LISTENER.parse().unwrap(),
        PEER.parse().unwrap(),
        5000..=5000 + ports - 1,
    )
}

/// What a capture reads of a segment without data.
fn segment(flags: u8, seq: u32, ack: u32) -> Tcp {
    let mut bytes = vec![
        0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0, 198, 18, 0, 1, 10, 96, 0, 10, 0, 1, 0, 2,
    ];
    bytes.extend(seq.to_be_bytes());
    bytes.extend(ack.to_be_bytes());
    bytes.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    let Content::Tcp(tcp) = packet::read(&bytes).unwrap().content else {
        panic!("not TCP")
    };
    tcp
}

fn is_empty(translations: &Translations) -> bool {
    translations.by_flow.is_empty() && translations.by_port.is_empty()
}

#[test]
fn two_flows_of_one_port_go_by_two_ports_and_come_back_apart() {
    let (mut known, now) = (translations(9), Instant::now());
    for to in ["10.96.0.1:80", "10.96.0.2:80"] {
        let flow = flow(7, to);
        let inside = known.admit(now, flow).unwrap();
        assert_eq!(inside.to, LISTENER.parse().unwrap());
        assert_eq!(known.inwards(flow, segment(ACK, 1, 1)), Some(inside));
        let back = known.outwards(inside.from.port(), segment(ACK, 1, 1)).unwrap();
        assert_eq!((back.from, back.to), (flow.to, flow.from));
        assert_eq!(known.accepted(inside.from), Some(flow));
    }
    assert_eq!(known.by_port.len(), 2);
}

#[test]
fn an_unknown_client_of_the_listener_has_no_flow() {
    let (mut known, now) = (translations(9), Instant::now());
    let inside = known.admit(now, flow(7, "10.96.0.1:80")).unwrap();
    let stranger = SocketAddr::new("198.18.0.1".parse().unwrap(), inside.from.port());
    assert_eq!(known.accepted(stranger), None);
    assert_eq!(known.inwards(flow(8, "10.96.0.1:80"), segment(ACK, 1, 1)), None);
    assert_eq!(known.outwards(inside.from.port() + 1, segment(ACK, 1, 1)), None);
}

#[test]
fn a_reset_from_either_side_is_passed_on_and_ends_it() {
    let now = Instant::now();
    let flow = flow(7, "10.96.0.1:80");
    let mut known = translations(1);
    known.admit(now, flow).unwrap();
    assert!(known.inwards(flow, segment(RST, 1, 0)).is_some());
    assert!(is_empty(&known));
    let inside = known.admit(now, flow).unwrap();
    assert!(known.outwards(inside.from.port(), segment(RST, 1, 0)).is_some());
    assert!(is_empty(&known));
}

#[test]
fn a_port_is_free_at_once_when_the_program_ended_first() {
    let (mut known, now) = (translations(1), Instant::now());
    let flow = flow(7, "10.96.0.1:80");
    let port = known.admit(now, flow).unwrap().from.port();
    known.inwards(flow, segment(FIN | ACK, 100, 500));
    known.outwards(port, segment(FIN | ACK, 500, 101));
    assert_eq!(
        known.admit(now, flow),
        None,
        "the last acknowledgement is still to come"
    );
    assert!(known.inwards(flow, segment(ACK, 101, 501)).is_some());
    assert!(is_empty(&known) && known.admit(now, flow).is_some());
}

#[test]
fn a_port_rests_while_the_listeners_kernel_remembers_it() {
    let (mut known, now) = (translations(1), Instant::now());
    let flow = flow(7, "10.96.0.1:80");
    let port = known.admit(now, flow).unwrap().from.port();
    // Both at once: ours did not know of the program's.
    known.inwards(flow, segment(FIN | ACK, 100, 500));
    known.outwards(port, segment(FIN | ACK, 500, 100));
    known.inwards(flow, segment(ACK, 101, 501));
    known.expire(now);
    known.expire(now + TIME_WAIT - Duration::from_millis(1));
    assert_eq!(known.admit(now, flow), None);
    known.expire(now + TIME_WAIT);
    assert!(known.admit(now, flow).is_some());
}

#[test]
fn a_silent_connection_lives_as_long_as_it_is_held() {
    let (mut known, now) = (translations(1), Instant::now());
    let flow = flow(7, "10.96.0.1:80");
    let inside = known.admit(now, flow).unwrap();
    known.accepted(inside.from).unwrap();
    known.expire(now + ABANDONED * 9);
    assert!(known.inwards(flow, segment(ACK, 1, 1)).is_some());
    known.release(inside.from, flow);
    let then = now + ABANDONED * 9;
    known.expire(then);
    known.expire(then + ABANDONED - Duration::from_millis(1));
    assert!(!is_empty(&known));
    known.expire(then + ABANDONED);
    assert!(is_empty(&known));
}

#[test]
fn a_new_connection_of_a_flow_gets_another_port() {
    let (mut known, now) = (translations(2), Instant::now());
    let flow = flow(7, "10.96.0.1:80");
    let old = known.admit(now, flow).unwrap();
    let new = known.admit(now, flow).unwrap();
    assert_ne!(old, new);
    assert!(known.outwards(old.from.port(), segment(RST, 1, 0)).is_some());
    assert_eq!(known.inwards(flow, segment(ACK, 1, 1)), Some(new));
}
