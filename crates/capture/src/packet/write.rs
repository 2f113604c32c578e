//! Writer of IP packets. Every function replaces the buffer's content, so that one buffer serves many packets.

use std::net::{IpAddr, SocketAddr};

use super::{
    Checksum, Content, ICMP_HEADER, IPV4_HEADER, IPV6_HEADER, TCP_HEADER, UDP_HEADER, icmp, protocol, read,
};
use crate::Echo;

/// The longest packet that the length fields of both families allow, without IPv6 jumbograms.
const MAX_LEN: usize = 65_535;
const HOP_LIMIT: u8 = 64;

/// Why a packet was not written. The buffer's content is not a packet then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unwritable {
    /// It would be longer than 65,535 octets.
    TooLong,
    /// One address is IPv4, the other IPv6.
    MixedFamilies,
    /// The original packet calls for no such answer.
    NoAnswer,
}

/// The code of an ICMP destination unreachable message, and the error that Linux returns to the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreachable {
    /// No route: `ENETUNREACH`.
    Network,
    /// The host does not answer: `EHOSTUNREACH`.
    Host,
    /// No socket receives datagrams there: `ECONNREFUSED`.
    Port,
    /// A policy forbids it: `EHOSTUNREACH` for IPv4, `EACCES` for IPv6.
    Prohibited,
}

/// Writes a UDP datagram.
///
/// # Errors
/// [`Unwritable::TooLong`], [`Unwritable::MixedFamilies`].
pub fn write_udp(
    packet: &mut Vec<u8>,
    from: SocketAddr,
    to: SocketAddr,
    payload: &[u8],
) -> Result<(), Unwritable> {
    let len = UDP_HEADER + payload.len();
    let start = write_ip(packet, from.ip(), to.ip(), protocol::UDP, len)?;
    let wire_len = u16::try_from(len).map_err(|_| Unwritable::TooLong)?;
    packet.extend(from.port().to_be_bytes());
    packet.extend(to.port().to_be_bytes());
    packet.extend(wire_len.to_be_bytes());
    packet.extend([0, 0]);
    packet.extend_from_slice(payload);
    // Zero means "none" (RFC 768); a sum of zero is sent as its other representation.
    match transport_checksum(packet, start, from.ip(), to.ip(), protocol::UDP) {
        0 => put_u16(packet, start + 6, u16::MAX),
        sum => put_u16(packet, start + 6, sum),
    }
    Ok(())
}

/// Writes the reply to an echo request.
///
/// # Errors
/// [`Unwritable::TooLong`], [`Unwritable::MixedFamilies`].
pub fn write_echo_reply(packet: &mut Vec<u8>, request: &Echo) -> Result<(), Unwritable> {
    let (number, kind) = match request.to {
        IpAddr::V4(_) => (protocol::ICMP, icmp::ECHO_REPLY),
        IpAddr::V6(_) => (protocol::ICMPV6, icmp::V6_ECHO_REPLY),
    };
    let start = write_ip(
        packet,
        request.to,
        request.from,
        number,
        ICMP_HEADER + request.payload.len(),
    )?;
    packet.extend([kind, 0, 0, 0]);
    packet.extend(request.ident.to_be_bytes());
    packet.extend(request.seq.to_be_bytes());
    packet.extend_from_slice(&request.payload);
    put_icmp_checksum(packet, start, request.to, request.from);
    Ok(())
}

/// Writes the refusal of a connection: the RST that RFC 9293 section 3.10.7.1 gives as the answer to a SYN for
/// which there is no listener.
///
/// # Errors
/// [`Unwritable::NoAnswer`] if `syn` does not open a connection.
pub fn write_reset(packet: &mut Vec<u8>, syn: &[u8]) -> Result<(), Unwritable> {
    let asked = read(syn).map_err(|_| Unwritable::NoAnswer)?;
    let Content::Tcp(tcp) = asked.content else {
        return Err(Unwritable::NoAnswer);
    };
    if !tcp.opens() {
        return Err(Unwritable::NoAnswer);
    }
    let data = u32::try_from(tcp.payload_len).map_err(|_| Unwritable::TooLong)?;
    let acknowledged = tcp.seq.wrapping_add(1).wrapping_add(data);
    let start = write_ip(packet, asked.to, asked.from, protocol::TCP, TCP_HEADER)?;
    packet.extend(tcp.to_port.to_be_bytes());
    packet.extend(tcp.from_port.to_be_bytes());
    packet.extend([0; 4]);
    packet.extend(acknowledged.to_be_bytes());
    // Header of 5 words; RST and ACK; no window, no checksum yet, no urgent pointer.
    packet.extend([0x50, 0x14, 0, 0, 0, 0, 0, 0]);
    let sum = transport_checksum(packet, start, asked.to, asked.from, protocol::TCP);
    put_u16(packet, start + 16, sum);
    Ok(())
}

/// Writes the answer to a segment of an unknown connection: the RST of RFC 9293 section 3.10.7.1.
///
/// # Errors
/// [`Unwritable::NoAnswer`] if `segment` acknowledges nothing, or is a reset itself.
pub fn write_break(packet: &mut Vec<u8>, segment: &[u8]) -> Result<(), Unwritable> {
    let stray = read(segment).map_err(|_| Unwritable::NoAnswer)?;
    let Content::Tcp(tcp) = stray.content else {
        return Err(Unwritable::NoAnswer);
    };
    if tcp.resets() || !tcp.acknowledges() {
        return Err(Unwritable::NoAnswer);
    }
    let start = write_ip(packet, stray.to, stray.from, protocol::TCP, TCP_HEADER)?;
    packet.extend(tcp.to_port.to_be_bytes());
    packet.extend(tcp.from_port.to_be_bytes());
    packet.extend(tcp.ack.to_be_bytes());
    packet.extend([0; 4]);
    // Header of 5 words; RST; no window, no checksum yet, no urgent pointer.
    packet.extend([0x50, 0x04, 0, 0, 0, 0, 0, 0]);
    let sum = transport_checksum(packet, start, stray.to, stray.from, protocol::TCP);
    put_u16(packet, start + 16, sum);
    Ok(())
}

/// Writes the ICMP message that `original` cannot be delivered, as if the receiver of `original` sent it: its
/// address is captured, so that the message passes filters that check where a source is routed.
///
/// # Errors
/// [`Unwritable::NoAnswer`] if `original` is not a packet.
pub fn write_unreachable(packet: &mut Vec<u8>, why: Unreachable, original: &[u8]) -> Result<(), Unwritable> {
    let asked = read(original).map_err(|_| Unwritable::NoAnswer)?;
    // As much as fits the message that every host takes: 576 octets (RFC 1812), 1280 (RFC 4443).
    let (number, kind, code, quoted) = match asked.to {
        IpAddr::V4(_) => {
            let code = match why {
                Unreachable::Network => 0,
                Unreachable::Host => 1,
                Unreachable::Port => 3,
                Unreachable::Prohibited => 13,
            };
            (
                protocol::ICMP,
                icmp::UNREACHABLE,
                code,
                576 - IPV4_HEADER - ICMP_HEADER,
            )
        }
        IpAddr::V6(_) => {
            let code = match why {
                Unreachable::Network => 0,
                Unreachable::Prohibited => 1,
                Unreachable::Host => 3,
                Unreachable::Port => 4,
            };
            (
                protocol::ICMPV6,
                icmp::V6_UNREACHABLE,
                code,
                1280 - IPV6_HEADER - ICMP_HEADER,
            )
        }
    };
    let quote = original.get(..quoted).unwrap_or(original);
    let start = write_ip(packet, asked.to, asked.from, number, ICMP_HEADER + quote.len())?;
    packet.extend([kind, code, 0, 0, 0, 0, 0, 0]);
    packet.extend_from_slice(quote);
    put_icmp_checksum(packet, start, asked.to, asked.from);
    Ok(())
}

/// Starts a packet with `body_len` octets to follow. Returns the offset at which they start.
fn write_ip(
    packet: &mut Vec<u8>,
    from: IpAddr,
    to: IpAddr,
    number: u8,
    body_len: usize,
) -> Result<usize, Unwritable> {
    packet.clear();
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let total = IPV4_HEADER + body_len;
            let wire_len = u16::try_from(total).map_err(|_| Unwritable::TooLong)?;
            packet.extend([0x45, 0]);
            packet.extend(wire_len.to_be_bytes());
            // No identification is needed where fragmenting is forbidden (RFC 6864).
            packet.extend([0, 0, 0x40, 0, HOP_LIMIT, number, 0, 0]);
            packet.extend(from.octets());
            packet.extend(to.octets());
            let mut checksum = Checksum::default();
            checksum.add(packet);
            put_u16(packet, 10, checksum.finish());
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            // The TUN's MTU counts the header, the length field does not.
            if IPV6_HEADER + body_len > MAX_LEN {
                return Err(Unwritable::TooLong);
            }
            let wire_len = u16::try_from(body_len).map_err(|_| Unwritable::TooLong)?;
            packet.extend([0x60, 0, 0, 0]);
            packet.extend(wire_len.to_be_bytes());
            packet.extend([number, HOP_LIMIT]);
            packet.extend(from.octets());
            packet.extend(to.octets());
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
            return Err(Unwritable::MixedFamilies);
        }
    }
    Ok(packet.len())
}

fn put_icmp_checksum(packet: &mut [u8], start: usize, from: IpAddr, to: IpAddr) {
    let sum = match from {
        IpAddr::V4(_) => {
            let mut checksum = Checksum::default();
            checksum.add(packet.get(start..).unwrap_or_default());
            checksum.finish()
        }
        IpAddr::V6(_) => transport_checksum(packet, start, from, to, protocol::ICMPV6),
    };
    put_u16(packet, start + 2, sum);
}

fn transport_checksum(packet: &[u8], start: usize, from: IpAddr, to: IpAddr, number: u8) -> u16 {
    let body = packet.get(start..).unwrap_or_default();
    let len = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let mut checksum = Checksum::with_pseudo_header(from, to, number, len);
    checksum.add(body);
    checksum.finish()
}

fn put_u16(packet: &mut [u8], at: usize, value: u16) {
    if let Some(field) = packet.get_mut(at..at + 2) {
        field.copy_from_slice(&value.to_be_bytes());
    }
}

#[cfg(test)]
mod tests;
