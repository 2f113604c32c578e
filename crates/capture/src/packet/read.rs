//! Parser of IP packets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{ICMP_HEADER, IPV4_HEADER, IPV6_HEADER, TCP_HEADER, UDP_HEADER, icmp, protocol};
use crate::Flow;

/// The parts of an IP packet that a capture reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The sender.
    pub from: IpAddr,
    /// The receiver.
    pub to: IpAddr,
    /// The payload.
    pub content: Content<'a>,
}

/// What an IP packet carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content<'a> {
    /// A TCP segment.
    Tcp(Tcp),
    /// A UDP datagram.
    Udp {
        /// The sender's port.
        from_port: u16,
        /// The receiver's port.
        to_port: u16,
        /// The data.
        payload: &'a [u8],
    },
    /// An ICMP or ICMPv6 echo request.
    EchoRequest {
        /// The sender's identifier.
        ident: u16,
        /// The sender's sequence number.
        seq: u16,
        /// The data.
        payload: &'a [u8],
    },
    /// Another protocol, by its number. A capture does not carry it.
    Other(u8),
}

/// What a capture reads of a TCP segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tcp {
    /// The sender's port.
    pub from_port: u16,
    /// The receiver's port.
    pub to_port: u16,
    /// The sequence number; of a SYN, the initial one.
    pub seq: u32,
    /// The octet that is expected next, where the segment acknowledges any.
    pub ack: u32,
    /// The octets of data.
    pub payload_len: usize,
    /// Where in the packet its header begins.
    pub start: usize,
    flags: u8,
}

/// Why a packet was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreadable {
    /// Cut short, or its lengths contradict each other, or it is not IP.
    Malformed,
    /// A fragment. The kernel makes none for a device with the largest MTU.
    Fragment,
}

impl Packet<'_> {
    /// The two ends, given the two ports.
    pub fn flow(&self, from_port: u16, to_port: u16) -> Flow {
        Flow {
            from: SocketAddr::new(self.from, from_port),
            to: SocketAddr::new(self.to, to_port),
        }
    }
}

impl Tcp {
    const FIN: u8 = 0x01;
    const SYN: u8 = 0x02;
    const RST: u8 = 0x04;
    const ACK: u8 = 0x10;

    /// Whether this opens a connection.
    pub fn opens(&self) -> bool {
        self.flags & (Self::SYN | Self::ACK | Self::RST | Self::FIN) == Self::SYN
    }

    /// Whether this ends its sender's half.
    pub fn finishes(&self) -> bool {
        self.flags & Self::FIN != 0
    }

    /// Whether [`Tcp::ack`] is valid.
    pub fn acknowledges(&self) -> bool {
        self.flags & Self::ACK != 0
    }

    /// The sequence number after this segment: what acknowledges all of it.
    pub fn next_seq(&self) -> u32 {
        let flags = u32::from(self.flags & Self::SYN != 0) + u32::from(self.finishes());
        // No packet is longer than 65,535 octets.
        let data = u32::try_from(self.payload_len).unwrap_or_default();
        self.seq.wrapping_add(data).wrapping_add(flags)
    }

    /// Whether this resets a connection.
    pub fn resets(&self) -> bool {
        self.flags & Self::RST != 0
    }
}

/// Reads one packet, as a TUN without packet information gives it. Octets past its own length are ignored.
///
/// # Errors
/// See [`Unreadable`].
pub fn read(bytes: &[u8]) -> Result<Packet<'_>, Unreadable> {
    let version = bytes.first().ok_or(Unreadable::Malformed)? >> 4;
    match version {
        4 => read_v4(bytes),
        6 => read_v6(bytes),
        _ => Err(Unreadable::Malformed),
    }
}

fn read_v4(bytes: &[u8]) -> Result<Packet<'_>, Unreadable> {
    let header: &[u8; IPV4_HEADER] = bytes.first_chunk().ok_or(Unreadable::Malformed)?;
    let header_len = usize::from(header[0] & 0x0f) * 4;
    let total_len = usize::from(u16::from_be_bytes([header[2], header[3]]));
    if header_len < IPV4_HEADER {
        return Err(Unreadable::Malformed);
    }
    let body = bytes.get(header_len..total_len).ok_or(Unreadable::Malformed)?;
    let fragment = u16::from_be_bytes([header[6], header[7]]);
    let (more_fragments, offset) = (fragment & 0x2000 != 0, fragment & 0x1fff);
    if more_fragments || offset != 0 {
        return Err(Unreadable::Fragment);
    }
    let content = match header[9] {
        protocol::TCP => read_tcp(body, header_len)?,
        protocol::UDP => read_udp(body)?,
        protocol::ICMP => read_icmp(body, protocol::ICMP, icmp::ECHO_REQUEST)?,
        other => Content::Other(other),
    };
    Ok(Packet {
        from: Ipv4Addr::new(header[12], header[13], header[14], header[15]).into(),
        to: Ipv4Addr::new(header[16], header[17], header[18], header[19]).into(),
        content,
    })
}

fn read_v6(bytes: &[u8]) -> Result<Packet<'_>, Unreadable> {
    let (header, rest) = bytes
        .split_first_chunk::<IPV6_HEADER>()
        .ok_or(Unreadable::Malformed)?;
    let payload_len = usize::from(u16::from_be_bytes([header[4], header[5]]));
    let mut body = rest.get(..payload_len).ok_or(Unreadable::Malformed)?;
    let mut next = header[6];
    let content = loop {
        match next {
            protocol::TCP => break read_tcp(body, IPV6_HEADER + payload_len - body.len())?,
            protocol::UDP => break read_udp(body)?,
            protocol::ICMPV6 => break read_icmp(body, protocol::ICMPV6, icmp::V6_ECHO_REQUEST)?,
            protocol::FRAGMENT => return Err(Unreadable::Fragment),
            // RFC 8200 section 4: next header, length in 8 octets without the first 8. Each turn shortens `body`.
            protocol::HOP_BY_HOP | protocol::ROUTING | protocol::DESTINATION_OPTIONS => {
                let [following, len, ..] = body else {
                    return Err(Unreadable::Malformed);
                };
                next = *following;
                body = body
                    .get((usize::from(*len) + 1) * 8..)
                    .ok_or(Unreadable::Malformed)?;
            }
            other => break Content::Other(other),
        }
    };
    let address = |at: usize| {
        let mut octets = [0; 16];
        octets.copy_from_slice(&header[at..at + 16]);
        IpAddr::from(Ipv6Addr::from(octets))
    };
    Ok(Packet {
        from: address(8),
        to: address(24),
        content,
    })
}

fn read_tcp(body: &[u8], start: usize) -> Result<Content<'_>, Unreadable> {
    let header: &[u8; TCP_HEADER] = body.first_chunk().ok_or(Unreadable::Malformed)?;
    let header_len = usize::from(header[12] >> 4) * 4;
    if header_len < TCP_HEADER || header_len > body.len() {
        return Err(Unreadable::Malformed);
    }
    Ok(Content::Tcp(Tcp {
        from_port: u16::from_be_bytes([header[0], header[1]]),
        to_port: u16::from_be_bytes([header[2], header[3]]),
        seq: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
        ack: u32::from_be_bytes([header[8], header[9], header[10], header[11]]),
        payload_len: body.len() - header_len,
        start,
        flags: header[13],
    }))
}

fn read_udp(body: &[u8]) -> Result<Content<'_>, Unreadable> {
    let header: &[u8; UDP_HEADER] = body.first_chunk().ok_or(Unreadable::Malformed)?;
    let len = usize::from(u16::from_be_bytes([header[4], header[5]]));
    Ok(Content::Udp {
        from_port: u16::from_be_bytes([header[0], header[1]]),
        to_port: u16::from_be_bytes([header[2], header[3]]),
        payload: body.get(UDP_HEADER..len).ok_or(Unreadable::Malformed)?,
    })
}

fn read_icmp(body: &[u8], number: u8, echo_request: u8) -> Result<Content<'_>, Unreadable> {
    let (header, payload) = body
        .split_first_chunk::<ICMP_HEADER>()
        .ok_or(Unreadable::Malformed)?;
    if header[0] != echo_request || header[1] != 0 {
        return Ok(Content::Other(number));
    }
    Ok(Content::EchoRequest {
        ident: u16::from_be_bytes([header[4], header[5]]),
        seq: u16::from_be_bytes([header[6], header[7]]),
        payload,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A SYN from 198.18.0.1:40000 to 10.96.0.10:443, initial sequence number 1, no options.
    fn syn() -> Vec<u8> {
        let mut bytes = vec![
            0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0, 198, 18, 0, 1, 10, 96, 0, 10,
        ];
        bytes.extend([
            0x9c, 0x40, 0x01, 0xbb, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x02, 0xff, 0xff, 0, 0, 0, 0,
        ]);
        bytes
    }

    fn tcp(bytes: &[u8]) -> Tcp {
        let content = read(bytes).unwrap().content;
        let Content::Tcp(tcp) = content else {
            panic!("not TCP: {content:?}")
        };
        tcp
    }

    #[test]
    fn a_syn_tells_its_flow_and_that_it_opens() {
        let bytes = syn();
        let packet = read(&bytes).unwrap();
        let tcp = tcp(&bytes);
        assert_eq!(
            packet.flow(tcp.from_port, tcp.to_port).from,
            "198.18.0.1:40000".parse().unwrap()
        );
        assert_eq!(
            packet.flow(tcp.from_port, tcp.to_port).to,
            "10.96.0.10:443".parse().unwrap()
        );
        assert!(tcp.opens() && !tcp.resets());
        assert_eq!((tcp.seq, tcp.payload_len), (1, 0));
    }

    #[test]
    fn a_syn_that_also_asks_for_congestion_notification_opens() {
        let mut bytes = syn();
        bytes[33] |= 0xc0;
        assert!(tcp(&bytes).opens());
    }

    #[test]
    fn an_answer_or_a_reset_opens_nothing() {
        let mut bytes = syn();
        bytes[33] = 0x12;
        assert!(!tcp(&bytes).opens());
        bytes[33] = 0x06;
        assert!(!tcp(&bytes).opens() && tcp(&bytes).resets());
    }

    #[test]
    fn fragments_are_told_apart() {
        for (at, value) in [(6, 0x20), (7, 1)] {
            let mut bytes = syn();
            bytes[at] = value;
            assert_eq!(read(&bytes), Err(Unreadable::Fragment));
        }
    }

    #[test]
    fn extension_headers_are_stepped_over() {
        let mut bytes = vec![0x60, 0, 0, 0, 0, 8 + 16 + 9, protocol::HOP_BY_HOP, 64];
        bytes.extend([0xfd; 32]);
        bytes.extend([protocol::DESTINATION_OPTIONS, 0, 1, 4, 0, 0, 0, 0]);
        bytes.extend([protocol::UDP, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend([0, 7, 0, 53, 0, 9, 0, 0, b'x']);
        assert_eq!(
            read(&bytes).unwrap().content,
            Content::Udp {
                from_port: 7,
                to_port: 53,
                payload: b"x"
            }
        );
    }

    #[test]
    fn octets_past_the_packets_own_length_are_ignored() {
        let mut bytes = syn();
        bytes.extend([0; 100]);
        assert_eq!(tcp(&bytes).payload_len, 0);
    }

    proptest! {
        #[test]
        fn garbage_is_refused_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..128)) {
            let _ = read(&bytes);
        }

        #[test]
        fn a_mangled_packet_is_refused_without_panic(
            version in prop_oneof![Just(0x45u8), Just(0x46), Just(0x60)],
            next in prop_oneof![Just(0u8), Just(1), Just(6), Just(17), Just(43), Just(44), Just(58), Just(60)],
            bytes in proptest::collection::vec(any::<u8>(), 41..128),
            len in 0u16..128,
        ) {
            let mut bytes = bytes;
            bytes[0] = version;
            if version == 0x60 {
                bytes[4..6].copy_from_slice(&len.to_be_bytes());
                bytes[6] = next;
            } else {
                bytes[2..4].copy_from_slice(&len.to_be_bytes());
                bytes[6..8].copy_from_slice(&[0x40, 0]);
                bytes[9] = next;
            }
            let _ = read(&bytes);
        }

        #[test]
        fn a_packet_cut_short_is_refused(cut in 0usize..40) {
            let bytes = syn();
            prop_assert_eq!(read(&bytes[..cut]), Err(Unreadable::Malformed));
        }
    }
}
