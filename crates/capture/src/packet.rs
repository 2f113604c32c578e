//! IP packets, read and written by pure functions over bytes that never panic on any input.
//!
//! They read only what a capture needs: of a TCP packet, its ports, numbers and flags.

mod checksum;
mod read;
mod readdress;
mod write;

pub use checksum::Checksum;
pub use read::{Content, Packet, Tcp, Unreadable, read};
pub use readdress::readdress;
pub use write::{
    Unreachable, Unwritable, write_break, write_echo_reply, write_reset, write_udp, write_unreachable,
};

const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;
const TCP_HEADER: usize = 20;
const UDP_HEADER: usize = 8;
const ICMP_HEADER: usize = 8;

/// Protocol numbers (IANA).
mod protocol {
    pub(super) const HOP_BY_HOP: u8 = 0;
    pub(super) const ICMP: u8 = 1;
    pub(super) const TCP: u8 = 6;
    pub(super) const UDP: u8 = 17;
    pub(super) const ROUTING: u8 = 43;
    pub(super) const FRAGMENT: u8 = 44;
    pub(super) const ICMPV6: u8 = 58;
    pub(super) const DESTINATION_OPTIONS: u8 = 60;
}

/// ICMP types (RFC 792, RFC 4443).
mod icmp {
    pub(super) const ECHO_REPLY: u8 = 0;
    pub(super) const UNREACHABLE: u8 = 3;
    pub(super) const ECHO_REQUEST: u8 = 8;
    pub(super) const V6_UNREACHABLE: u8 = 1;
    pub(super) const V6_ECHO_REQUEST: u8 = 128;
    pub(super) const V6_ECHO_REPLY: u8 = 129;
}
