//! Tests of the writer: what the parser of this crate and the checksums say of its packets.

use super::*;
use bytes::Bytes;
use proptest::prelude::*;

fn v4() -> (SocketAddr, SocketAddr) {
    (
        "10.96.0.10:53".parse().unwrap(),
        "198.18.0.1:40000".parse().unwrap(),
    )
}

fn v6() -> (SocketAddr, SocketAddr) {
    (
        "[fd00::a]:53".parse().unwrap(),
        "[fd01::1]:40000".parse().unwrap(),
    )
}

/// Sums the whole of a written packet again, as a receiver does: right sums leave zero.
fn assert_checksums(packet: &[u8], number: u8) {
    let asked = read(packet).unwrap();
    let start = if asked.from.is_ipv4() {
        IPV4_HEADER
    } else {
        IPV6_HEADER
    };
    if asked.from.is_ipv4() {
        let mut header = Checksum::default();
        header.add(&packet[..start]);
        assert_eq!(header.finish(), 0, "header");
    }
    let body = &packet[start..];
    let sum = if number == protocol::ICMP {
        let mut sum = Checksum::default();
        sum.add(body);
        sum.finish()
    } else {
        transport_checksum(packet, start, asked.from, asked.to, number)
    };
    assert_eq!(sum, 0, "body");
}

fn syn(from: SocketAddr, to: SocketAddr, seq: u32, data: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    write_ip(
        &mut packet,
        from.ip(),
        to.ip(),
        protocol::TCP,
        TCP_HEADER + data.len(),
    )
    .unwrap();
    packet.extend(from.port().to_be_bytes());
    packet.extend(to.port().to_be_bytes());
    packet.extend(seq.to_be_bytes());
    packet.extend([0, 0, 0, 0, 0x50, 0x02, 0xff, 0xff, 0, 0, 0, 0]);
    packet.extend_from_slice(data);
    packet
}

#[test]
fn a_reset_acknowledges_the_syn_and_its_data() {
    for (to, from) in [v4(), v6()] {
        let mut packet = Vec::new();
        write_reset(&mut packet, &syn(from, to, u32::MAX, b"abc")).unwrap();
        let answer = read(&packet).unwrap();
        let Content::Tcp(tcp) = answer.content else {
            panic!("not TCP")
        };
        assert!(tcp.resets());
        assert_eq!(answer.flow(tcp.from_port, tcp.to_port).from, to);
        assert_eq!(answer.flow(tcp.from_port, tcp.to_port).to, from);
        let start = packet.len() - TCP_HEADER;
        assert_eq!(packet[start + 8..start + 12], 3u32.to_be_bytes());
        assert_checksums(&packet, protocol::TCP);
    }
}

#[test]
fn nothing_but_a_syn_is_reset() {
    let (from, to) = v4();
    let mut packet = Vec::new();
    let mut reset = Vec::new();
    write_reset(&mut reset, &syn(from, to, 1, b"")).unwrap();
    assert_eq!(write_reset(&mut packet, &reset), Err(Unwritable::NoAnswer));
    assert_eq!(write_reset(&mut packet, b""), Err(Unwritable::NoAnswer));
}

#[test]
fn a_stray_segment_is_reset_with_the_number_it_expects() {
    for (to, from) in [v4(), v6()] {
        let mut stray = syn(from, to, 7, b"data");
        let flags = stray.len() - 4 - TCP_HEADER + 13;
        stray[flags] = 0x10;
        stray[flags - 5..flags - 1].copy_from_slice(&99u32.to_be_bytes());
        let mut packet = Vec::new();
        write_break(&mut packet, &stray).unwrap();
        let Content::Tcp(tcp) = read(&packet).unwrap().content else {
            panic!("not TCP")
        };
        assert!(tcp.resets() && tcp.seq == 99 && tcp.from_port == to.port());
        assert_checksums(&packet, protocol::TCP);
        let reset = packet.clone();
        assert_eq!(write_break(&mut packet, &reset), Err(Unwritable::NoAnswer));
        assert_eq!(
            write_break(&mut packet, &syn(from, to, 7, b"")),
            Err(Unwritable::NoAnswer)
        );
    }
}

#[test]
fn an_unreachable_message_quotes_what_it_answers() {
    for ((to, from), number, overhead) in [(v4(), protocol::ICMP, 28), (v6(), protocol::ICMPV6, 48)] {
        for original in [syn(from, to, 7, b""), syn(from, to, 7, &[1; 9000])] {
            let mut packet = Vec::new();
            write_unreachable(&mut packet, Unreachable::Host, &original).unwrap();
            assert_checksums(&packet, number);
            let quote = &packet[overhead..];
            assert!(quote.len() >= 28 && original.starts_with(quote));
            assert!(packet.len() <= if from.is_ipv4() { 576 } else { 1280 });
        }
    }
}

#[test]
fn the_longest_datagram_fits_and_one_octet_more_does_not() {
    for ((from, to), header) in [(v4(), IPV4_HEADER), (v6(), IPV6_HEADER)] {
        let mut packet = Vec::new();
        let longest = vec![0; MAX_LEN - header - UDP_HEADER];
        assert_eq!(write_udp(&mut packet, from, to, &longest), Ok(()));
        assert_eq!(packet.len(), MAX_LEN);
        let longer = vec![0; longest.len() + 1];
        assert_eq!(
            write_udp(&mut packet, from, to, &longer),
            Err(Unwritable::TooLong)
        );
    }
}

#[test]
fn families_do_not_mix() {
    let mut packet = Vec::new();
    assert_eq!(
        write_udp(&mut packet, v4().0, v6().0, b"x"),
        Err(Unwritable::MixedFamilies)
    );
}

proptest! {
    #[test]
    fn a_written_datagram_reads_the_same(
        payload in proptest::collection::vec(any::<u8>(), 0..2000),
        six in any::<bool>(),
    ) {
        let (from, to) = if six { v6() } else { v4() };
        let mut packet = vec![0xff; 10];
        write_udp(&mut packet, from, to, &payload).unwrap();
        assert_checksums(&packet, protocol::UDP);
        let back = read(&packet).unwrap();
        prop_assert_eq!((back.from, back.to), (from.ip(), to.ip()));
        let content = Content::Udp { from_port: from.port(), to_port: to.port(), payload: &payload };
        prop_assert_eq!(back.content, content);
    }

    #[test]
    fn a_written_echo_reply_checks(
        payload in proptest::collection::vec(any::<u8>(), 0..2000),
        six in any::<bool>(),
        ident: u16,
        seq: u16,
    ) {
        let (to, from) = if six { v6() } else { v4() };
        let echo = Echo { from: from.ip(), to: to.ip(), ident, seq, payload: Bytes::from(payload) };
        let mut packet = Vec::new();
        write_echo_reply(&mut packet, &echo).unwrap();
        assert_checksums(&packet, if six { protocol::ICMPV6 } else { protocol::ICMP });
        let back = read(&packet).unwrap();
        prop_assert_eq!((back.from, back.to), (echo.to, echo.from));
    }

    #[test]
    fn garbage_is_answered_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..128)) {
        let mut packet = Vec::new();
        let _ = write_reset(&mut packet, &bytes);
        let _ = write_unreachable(&mut packet, Unreachable::Port, &bytes);
    }
}
