//! WebSocket frames (RFC 6455, section 5.2) from the client's side. Sans-IO.

use std::io::IoSlice;

use bytes::{BufMut, BytesMut};

/// Two bytes, a 64-bit length, a mask.
pub(super) const MAX_HEADER_LEN: usize = 14;

/// RFC 6455, 5.5: payload of a control frame.
pub(super) const MAX_CONTROL_LEN: usize = 125;

const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;
const CONTINUATION: u8 = 0x0;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;

/// What we send.
#[derive(Debug, Clone, Copy)]
pub(super) enum Opcode {
    Binary,
    Close,
    Pong,
}

impl Opcode {
    fn byte(self) -> u8 {
        match self {
            Opcode::Binary => BINARY,
            Opcode::Close => CLOSE,
            Opcode::Pong => PONG,
        }
    }
}

/// Appends one unfragmented frame with up to `at_most` bytes off the front of `bufs`, masked as a
/// client's must be (5.3), and says how many.
pub(super) fn push_client_frame(
    opcode: Opcode,
    mask: [u8; 4],
    bufs: &[IoSlice<'_>],
    at_most: usize,
    out: &mut BytesMut,
) -> usize {
    let length = bufs.iter().map(|buf| buf.len()).sum::<usize>().min(at_most);
    out.put_u8(FIN | opcode.byte());
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short), _) if short < 126 => out.put_u8(MASKED | short),
        (_, Ok(medium)) => {
            out.put_u8(MASKED | 126);
            out.put_u16(medium);
        }
        (_, Err(_)) => {
            out.put_u8(MASKED | 127);
            out.put_u64(u64::try_from(length).unwrap_or(u64::MAX));
        }
    }
    out.put_slice(&mask);
    let start = out.len();
    let mut left = length;
    for buf in bufs {
        let piece = &buf[..buf.len().min(left)];
        out.put_slice(piece);
        left -= piece.len();
    }
    apply_mask(&mut out[start..], mask);
    length
}

/// In runs of 16 bytes, which the compiler turns into vector instructions.
fn apply_mask(bytes: &mut [u8], mask: [u8; 4]) {
    let mut wide = [0; 16];
    wide.chunks_exact_mut(4)
        .for_each(|four| four.copy_from_slice(&mask));
    for chunk in bytes.chunks_mut(16) {
        chunk.iter_mut().zip(wide).for_each(|(byte, mask)| *byte ^= mask);
    }
}

/// A control frame that came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrived {
    Ping(Vec<u8>),
    Pong,
    Close(Vec<u8>),
}

/// Takes a server's frames apart. Payload of messages does not pass through it: see
/// [`Decoder::payload_left`].
#[derive(Debug)]
pub(super) struct Decoder {
    state: State,
    in_message: bool,
}

#[derive(Debug)]
enum State {
    Header {
        bytes: [u8; 10],
        len: usize,
    },
    Payload {
        left: u64,
    },
    Control {
        opcode: u8,
        bytes: Vec<u8>,
        length: usize,
    },
}

const AT_HEADER: State = State::Header {
    bytes: [0; 10],
    len: 0,
};

impl Decoder {
    pub(super) fn new() -> Self {
        Self {
            state: AT_HEADER,
            in_message: false,
        }
    }

    /// How much message payload comes next; `None` while something else does.
    pub(super) fn payload_left(&self) -> Option<u64> {
        match &self.state {
            State::Payload { left } => Some(*left),
            State::Header { .. } | State::Control { .. } => None,
        }
    }

    /// Says that `count` bytes of the payload were read.
    pub(super) fn payload_taken(&mut self, count: usize) {
        if let State::Payload { left } = &mut self.state {
            *left = left.saturating_sub(u64::try_from(count).unwrap_or(u64::MAX));
            if *left == 0 {
                self.state = AT_HEADER;
            }
        }
    }

    /// How many bytes to read and give to [`Decoder::decode`] next: 1 to [`MAX_CONTROL_LEN`], and 0
    /// while payload comes.
    pub(super) fn wanted(&self) -> usize {
        match &self.state {
            State::Header { bytes, len } => header_len(bytes, *len) - len,
            State::Payload { .. } => 0,
            State::Control { bytes, length, .. } => length - bytes.len(),
        }
    }

    /// Takes what was read, at most [`Decoder::wanted`] bytes. The error says what is wrong.
    pub(super) fn decode(&mut self, input: &[u8]) -> Result<Option<Arrived>, &'static str> {
        match &mut self.state {
            State::Payload { .. } => Err("payload given to the header decoder"),
            State::Header { bytes, len } => {
                let (Some(room), true) = (bytes.get_mut(*len..*len + input.len()), !input.is_empty()) else {
                    return Err("more bytes than were asked for");
                };
                room.copy_from_slice(input);
                *len += input.len();
                if *len < header_len(bytes, *len) {
                    return Ok(None);
                }
                let bytes = *bytes;
                self.after_header(&bytes)
            }
            State::Control {
                opcode,
                bytes,
                length,
            } => {
                bytes.extend_from_slice(input);
                if bytes.len() < *length {
                    return Ok(None);
                }
                let arrived = control(*opcode, std::mem::take(bytes));
                self.state = AT_HEADER;
                Ok(Some(arrived))
            }
        }
    }

    fn after_header(&mut self, header: &[u8; 10]) -> Result<Option<Arrived>, &'static str> {
        let (first, second) = (header[0], header[1]);
        if first & RESERVED != 0 {
            return Err("a WebSocket frame of an extension that was not agreed");
        }
        if second & MASKED != 0 {
            return Err("a masked WebSocket frame from the server");
        }
        let [_, _, e0, e1, e2, e3, e4, e5, e6, e7] = *header;
        let length = match second {
            126 => u64::from(u16::from_be_bytes([e0, e1])),
            127 => u64::from_be_bytes([e0, e1, e2, e3, e4, e5, e6, e7]),
            short => u64::from(short),
        };
        let fin = first & FIN != 0;
        match first & 0x0f {
            BINARY if self.in_message => return Err("a WebSocket message inside another"),
            CONTINUATION if !self.in_message => return Err("the rest of no WebSocket message"),
            BINARY | CONTINUATION => {
                self.in_message = !fin;
                self.state = if length == 0 {
                    AT_HEADER
                } else {
                    State::Payload { left: length }
                };
            }
            opcode @ (CLOSE | PING | PONG) => {
                let Some(length) = usize::try_from(length)
                    .ok()
                    .filter(|len| fin && *len <= MAX_CONTROL_LEN)
                else {
                    return Err("a long or fragmented WebSocket control frame");
                };
                if length == 0 {
                    self.state = AT_HEADER;
                    return Ok(Some(control(opcode, Vec::new())));
                }
                self.state = State::Control {
                    opcode,
                    bytes: Vec::with_capacity(length),
                    length,
                };
            }
            _other => return Err("a WebSocket message that is not binary"),
        }
        Ok(None)
    }
}

/// How long the header is, as far as its first `len` bytes tell. A server's has no mask.
fn header_len(bytes: &[u8; 10], len: usize) -> usize {
    match (len, bytes[1] & !MASKED) {
        (0 | 1, _) => 2,
        (_, 126) => 4,
        (_, 127) => 10,
        (_, _short) => 2,
    }
}

fn control(opcode: u8, payload: Vec<u8>) -> Arrived {
    match opcode {
        PING => Arrived::Ping(payload),
        CLOSE => Arrived::Close(payload),
        _pong => Arrived::Pong,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Feeds `wire` with reads of at most `step` bytes; the payload, and what else came.
    fn run(wire: &[u8], mut step: impl FnMut() -> usize) -> Result<(Vec<u8>, Vec<Arrived>), &'static str> {
        let (mut decoder, mut payload, mut arrived, mut rest) = (Decoder::new(), vec![], vec![], wire);
        while !rest.is_empty() {
            let limit = decoder.payload_left().map_or(decoder.wanted(), |left| {
                usize::try_from(left).unwrap_or(usize::MAX)
            });
            assert!(limit > 0);
            let (piece, after) = rest.split_at(limit.min(step()).min(rest.len()));
            rest = after;
            if decoder.payload_left().is_some() {
                payload.extend_from_slice(piece);
                decoder.payload_taken(piece.len());
            } else {
                arrived.extend(decoder.decode(piece)?);
            }
        }
        Ok((payload, arrived))
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_bytes(
            messages in prop::collection::vec((any::<bool>(), 0usize..70_000), 1..6),
            steps in prop::collection::vec(1usize..9_000, 1..40),
        ) {
            let mut wire = Vec::new();
            for (ping, length) in &messages {
                if *ping {
                    wire.extend_from_slice(&[0x89, 2, b'h', b'i']);
                }
                wire.push(0x82);
                match *length {
                    short @ 0..126 => wire.push(u8::try_from(short).unwrap()),
                    medium @ 126..65_536 => {
                        wire.push(126);
                        wire.extend_from_slice(&u16::try_from(medium).unwrap().to_be_bytes());
                    }
                    long => {
                        wire.push(127);
                        wire.extend_from_slice(&u64::try_from(long).unwrap().to_be_bytes());
                    }
                }
                wire.extend(std::iter::repeat_n(b'x', *length));
            }
            let mut steps = steps.iter().cycle();
            let (payload, arrived) = run(&wire, || *steps.next().unwrap()).unwrap();
            prop_assert_eq!(payload.len(), messages.iter().map(|(_, length)| length).sum::<usize>());
            prop_assert!(payload.iter().all(|byte| *byte == b'x'));
            prop_assert_eq!(arrived.len(), messages.iter().filter(|(ping, _)| *ping).count());
        }

        #[test]
        fn garbage_never_panics(garbage in prop::collection::vec(any::<u8>(), 0..500), step in 1usize..50) {
            let _ = run(&garbage, || step);
        }

        #[test]
        fn a_mask_applied_twice_is_none(bytes in prop::collection::vec(any::<u8>(), 0..100), mask in any::<[u8; 4]>()) {
            let mut masked = bytes.clone();
            apply_mask(&mut masked, mask);
            let by_hand: Vec<u8> = bytes.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
            prop_assert_eq!(&masked, &by_hand);
            apply_mask(&mut masked, mask);
            prop_assert_eq!(masked, bytes);
        }
    }

    #[test]
    fn what_a_server_must_not_send_is_refused() {
        for (frame, why) in [
            (&[0xc2, 0][..], "reserved bit"),
            (&[0x82, 0x80], "masked"),
            (&[0x80, 1], "continuation of nothing"),
            (&[0x09, 1], "fragmented ping"),
            (&[0x89, 126, 0, 200], "long ping"),
            (&[0x83, 1], "unknown opcode"),
            (&[0x02, 0, 0x82, 0], "message in a message"),
        ] {
            assert!(run(frame, || 1).is_err(), "{why}");
        }
    }
}
