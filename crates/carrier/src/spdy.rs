//! SPDY/3.1 framing, as far as a port-forward needs it.
//!
//! Sans-IO: bytes in, items out, and the other way round. Source: SPDY Protocol, draft 3.1,
//! sections 2.2 (framing) and 2.6 (control frames). What the peer of a port-forward may send and
//! we have no use for (SETTINGS, WINDOW_UPDATE, HEADERS, SYN_REPLY) is skipped by its length.

mod decode;
mod encode;

pub(crate) use decode::{Decoder, Item};
pub(crate) use encode::{HeaderBlocks, data_header, ping};

/// Length of every frame's header, bytes.
pub(crate) const HEADER_LEN: usize = 8;

/// Largest frame payload that the 24-bit length field can announce, bytes.
pub(crate) const MAX_LENGTH: usize = 0xff_ffff;

/// The stream of a frame; 31 bits, odd for streams that the client opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StreamId(pub(crate) u32);

const VERSION: u16 = 3;
const CONTROL_BIT: u8 = 0x80;
const FLAG_FIN: u8 = 0x01;

const SYN_STREAM: u16 = 1;
const RST_STREAM: u16 = 3;
const PING: u16 = 6;
const GOAWAY: u16 = 7;
