//! Replacement of a TCP packet's addresses and ports, in place.

use std::net::{IpAddr, SocketAddr};

use super::checksum::updated;
use super::{Content, read};
use crate::Flow;

const V4_CHECKSUM: usize = 10;
const V4_ADDRESSES: usize = 12;
const V6_ADDRESSES: usize = 8;
const TCP_CHECKSUM: usize = 16;

/// Replaces the addresses and ports of a TCP packet and updates its checksums: correct ones stay correct, and wrong
/// ones stay wrong. Returns whether this was a TCP packet in the family of both ends; if not, it is unchanged.
pub fn readdress(packet: &mut [u8], ends: Flow) -> bool {
    let Ok(found) = read(packet) else { return false };
    let Content::Tcp(tcp) = found.content else {
        return false;
    };
    let start = tcp.start;
    let (from, to) = (ends.from.ip(), ends.to.ip());
    let (mut addresses, at, has_header_checksum) = match (found.from, from, to) {
        (IpAddr::V4(_), IpAddr::V4(_), IpAddr::V4(_)) => ([0; 32], V4_ADDRESSES, true),
        (IpAddr::V6(_), IpAddr::V6(_), IpAddr::V6(_)) => ([0; 32], V6_ADDRESSES, false),
        _ => return false,
    };
    let mut len = 0;
    for address in [from, to] {
        let mut put = |octets: &[u8]| {
            for (to, from) in addresses.iter_mut().skip(len).zip(octets) {
                *to = *from;
            }
            len += octets.len();
        };
        match address {
            IpAddr::V4(v4) => put(&v4.octets()),
            IpAddr::V6(v6) => put(&v6.octets()),
        }
    }
    let addresses = addresses.get(..len).unwrap_or_default();
    let ports = ports(ends.from, ends.to);
    let (Some(old_addresses), Some(old_ports)) = (take(packet, at, addresses), take(packet, start, &ports))
    else {
        return false;
    };
    if has_header_checksum {
        mend(
            packet,
            V4_CHECKSUM,
            &[(old_addresses.get(..len).unwrap_or_default(), addresses)],
        );
    }
    let changes = [
        (old_addresses.get(..len).unwrap_or_default(), addresses),
        (old_ports.get(..ports.len()).unwrap_or_default(), &ports[..]),
    ];
    mend(packet, start + TCP_CHECKSUM, &changes);
    true
}

fn ports(from: SocketAddr, to: SocketAddr) -> [u8; 4] {
    let ([a, b], [c, d]) = (from.port().to_be_bytes(), to.port().to_be_bytes());
    [a, b, c, d]
}

/// Writes `new` and returns the octets that it replaced.
fn take(packet: &mut [u8], at: usize, new: &[u8]) -> Option<[u8; 32]> {
    let mut old = [0; 32];
    let place = packet.get_mut(at..at + new.len())?;
    old.get_mut(..new.len())?.copy_from_slice(place);
    place.copy_from_slice(new);
    Some(old)
}

fn mend(packet: &mut [u8], at: usize, changes: &[(&[u8], &[u8])]) {
    let Some(field) = packet.get_mut(at..).and_then(<[u8]>::first_chunk_mut::<2>) else {
        return;
    };
    let mut sum = u16::from_be_bytes(*field);
    for (before, after) in changes {
        sum = updated(sum, before, after);
    }
    *field = sum.to_be_bytes();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::Checksum;
    use proptest::prelude::*;

    /// A segment as the kernel would send it.
    fn segment(ends: Flow, seq: u32, data: &[u8]) -> Vec<u8> {
        let len = 20 + data.len();
        let mut packet = match (ends.from.ip(), ends.to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let mut header = vec![0x45, 0, 0, 0, 0x12, 0x34, 0x40, 0, 64, 6, 0, 0];
                header[2..4].copy_from_slice(&u16::try_from(20 + len).unwrap().to_be_bytes());
                header.extend(from.octets());
                header.extend(to.octets());
                let mut sum = Checksum::default();
                sum.add(&header);
                header[10..12].copy_from_slice(&sum.finish().to_be_bytes());
                header
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                let mut header = vec![0x60, 0, 0, 0, 0, 0, 6, 64];
                header[4..6].copy_from_slice(&u16::try_from(len).unwrap().to_be_bytes());
                header.extend(from.octets());
                header.extend(to.octets());
                header
            }
            _ => unreachable!(),
        };
        let start = packet.len();
        packet.extend(ports(ends.from, ends.to));
        packet.extend(seq.to_be_bytes());
        packet.extend([0, 0, 0, 9, 0x50, 0x10, 0xff, 0xff, 0, 0, 0, 0]);
        packet.extend_from_slice(data);
        let sum = whole(&packet, start, ends);
        packet[start + 16..start + 18].copy_from_slice(&sum.to_be_bytes());
        packet
    }

    fn whole(packet: &[u8], start: usize, ends: Flow) -> u16 {
        let len = u32::try_from(packet.len() - start).unwrap();
        let mut sum = Checksum::with_pseudo_header(ends.from.ip(), ends.to.ip(), 6, len);
        sum.add(&packet[start..]);
        sum.finish()
    }

    fn ends(six: bool) -> impl Strategy<Value = Flow> {
        let end = move || {
            any::<([u8; 16], u16)>().prop_map(move |(octets, port)| {
                let [a, b, c, d, ..] = octets;
                let ip = if six {
                    IpAddr::from(octets)
                } else {
                    IpAddr::from([a, b, c, d])
                };
                SocketAddr::new(ip, port)
            })
        };
        (end(), end()).prop_map(|(from, to)| Flow { from, to })
    }

    fn both() -> impl Strategy<Value = (Flow, Flow)> {
        any::<bool>().prop_flat_map(|six| (ends(six), ends(six)))
    }

    proptest! {
        #[test]
        fn there_and_back_is_the_same_packet_and_checks_at_both_ends(
            (before, after) in both(),
            seq: u32,
            data in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let original = segment(before, seq, &data);
            let mut packet = original.clone();
            prop_assert!(readdress(&mut packet, after));
            prop_assert_eq!(&packet, &segment(after, seq, &data), "as if it had been sent so");
            prop_assert!(readdress(&mut packet, before));
            prop_assert_eq!(packet, original);
        }

        #[test]
        fn what_was_broken_stays_broken((before, after) in both(), flip in 1u8..=255) {
            let mut packet = segment(before, 7, b"data");
            let last = packet.len() - 1;
            packet[last] ^= flip;
            prop_assert!(readdress(&mut packet, after));
            let start = packet.len() - 24;
            prop_assert_ne!(whole(&packet, start, after), 0);
        }

        #[test]
        fn garbage_is_left_alone((_, after) in both(), bytes in proptest::collection::vec(any::<u8>(), 0..128)) {
            let mut packet = bytes.clone();
            if !readdress(&mut packet, after) {
                prop_assert_eq!(packet, bytes);
            }
        }
    }
}
