//! SPDY/3.1 framing, as far as a port-forward needs it.
//!
//! Bytes in, items out, and the reverse, without I/O. Source: SPDY Protocol, draft 3.1, sections 2.2 (framing) and 2.6
//! (control frames). Frames that the peer may send and that a port-forward does not need (SETTINGS, WINDOW_UPDATE,
//! HEADERS, SYN_REPLY) are skipped by their length.

mod decode;
mod encode;

pub(crate) use decode::{Decoder, Item};
pub(crate) use encode::{HeaderBlocks, data_header, ping};

/// Length of every frame's header, in bytes.
pub(crate) const HEADER_LEN: usize = 8;

/// Largest payload of a frame, in bytes: the limit of the 24-bit length field.
pub(crate) const MAX_LENGTH: usize = 0xff_ffff;

/// Number of a stream: 31 bits, odd for streams that the client opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StreamId(pub(crate) u32);

const VERSION: u16 = 3;
const CONTROL_BIT: u8 = 0x80;
const FLAG_FIN: u8 = 0x01;

const SYN_STREAM: u16 = 1;
const RST_STREAM: u16 = 3;
const PING: u16 = 6;
const GOAWAY: u16 = 7;
