//! Decoder of incoming frames.

use super::{CONTROL_BIT, FLAG_FIN, GOAWAY, HEADER_LEN, PING, RST_STREAM, StreamId, VERSION};

/// Part of the incoming frames.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Item<'a> {
    /// Payload bytes of a stream, possibly only a part of the frame's payload.
    Payload { stream: StreamId, bytes: &'a [u8] },
    /// The peer sends no more on this stream.
    End { stream: StreamId },
    /// The peer reset the stream, with a status code of section 2.6.3.
    Reset { stream: StreamId, status: u32 },
    /// The peer expects a PING with this number in return.
    Ping { id: u32 },
    /// The peer accepts no new streams.
    GoAway,
}

/// Error: the peer sent bytes that are not SPDY/3.1. The text describes the violation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Violation(pub(crate) &'static str);

/// Decodes frames that arrive in pieces of any size.
///
/// There are two methods. [`Decoder::decode`] takes any bytes. A caller that reads payload to its destination without a
/// copy calls [`Decoder::payload_left`], reads at most that many bytes from the wire, and reports them with
/// [`Decoder::payload_taken`]. Between payloads, [`Decoder::wanted`] returns how many bytes can be read without any of
/// the next payload.
#[derive(Debug)]
pub(crate) struct Decoder {
    state: State,
}

#[derive(Debug)]
enum State {
    Header(Gathered<HEADER_LEN>),
    Payload {
        stream: StreamId,
        fin: bool,
        left: usize,
    },
    /// Body of a control frame that is handled; `rest` bytes follow it and are skipped.
    Body {
        kind: Body,
        body: Gathered<8>,
        rest: usize,
    },
    Skip {
        left: usize,
    },
}

#[derive(Debug, Clone, Copy)]
enum Body {
    Reset,
    Ping,
}

impl Body {
    /// Returns the number of body bytes that are read. The frame must have at least these.
    fn len(self) -> usize {
        match self {
            Body::Reset => 8,
            Body::Ping => 4,
        }
    }
}

impl Decoder {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Header(Gathered::new()),
        }
    }

    /// Takes bytes from the front of `input` up to the end of the next item, and returns that item, or `None` when `input`
    /// is used up. It may return an item without taking a byte.
    pub(crate) fn decode<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Item<'a>>, Violation> {
        loop {
            match &mut self.state {
                State::Header(header) => {
                    let Some(header) = header.take_from(input, HEADER_LEN) else {
                        return Ok(None);
                    };
                    let (state, item) = after_header(header)?;
                    self.state = state;
                    if let Some(item) = item {
                        return Ok(Some(item));
                    }
                }
                State::Payload { stream, fin, left: 0 } => {
                    let (stream, fin) = (*stream, *fin);
                    self.state = State::Header(Gathered::new());
                    if fin {
                        return Ok(Some(Item::End { stream }));
                    }
                }
                State::Payload { stream, left, .. } => {
                    let bytes = split_front(input, *left);
                    if bytes.is_empty() {
                        return Ok(None);
                    }
                    *left -= bytes.len();
                    return Ok(Some(Item::Payload {
                        stream: *stream,
                        bytes,
                    }));
                }
                State::Body { kind, body, rest } => {
                    let Some(body) = body.take_from(input, kind.len()) else {
                        return Ok(None);
                    };
                    let item = match kind {
                        Body::Ping => Item::Ping { id: be32(body, 0) },
                        Body::Reset => Item::Reset {
                            stream: stream_id(body),
                            status: be32(body, 4),
                        },
                    };
                    self.state = State::Skip { left: *rest };
                    return Ok(Some(item));
                }
                State::Skip { left: 0 } => self.state = State::Header(Gathered::new()),
                State::Skip { left } => {
                    let skipped = split_front(input, *left);
                    if skipped.is_empty() {
                        return Ok(None);
                    }
                    *left -= skipped.len();
                }
            }
        }
    }

    /// Returns how many payload bytes of `stream` come next; `None` if something else does.
    pub(crate) fn payload_left(&self, stream: StreamId) -> Option<usize> {
        match &self.state {
            State::Payload {
                stream: current,
                left,
                ..
            } if *current == stream && *left > 0 => Some(*left),
            State::Payload { .. } | State::Header(_) | State::Body { .. } | State::Skip { .. } => None,
        }
    }

    /// Records that `count` payload bytes were read without this decoder; at most what [`Decoder::payload_left`] returned.
    pub(crate) fn payload_taken(&mut self, count: usize) {
        if let State::Payload { left, .. } = &mut self.state {
            *left = left.saturating_sub(count);
        }
    }

    /// Returns how many bytes may be read for [`Decoder::decode`] without a byte of the next frame's payload. Never 0 after
    /// `decode` returned `None`.
    pub(crate) fn wanted(&self) -> usize {
        match &self.state {
            State::Header(header) => HEADER_LEN - header.len,
            State::Payload { left, .. } | State::Skip { left } => *left,
            State::Body { kind, body, .. } => kind.len() - body.len,
        }
    }
}

fn after_header(header: &[u8; HEADER_LEN]) -> Result<(State, Option<Item<'static>>), Violation> {
    let flags = header[4];
    let length = (usize::from(header[5]) << 16) | (usize::from(header[6]) << 8) | usize::from(header[7]);
    if header[0] & CONTROL_BIT == 0 {
        let state = State::Payload {
            stream: stream_id(header),
            fin: flags & FLAG_FIN != 0,
            left: length,
        };
        return Ok((state, None));
    }
    let version = u16::from_be_bytes([header[0] & !CONTROL_BIT, header[1]]);
    if version != VERSION {
        return Err(Violation("a control frame of another SPDY version"));
    }
    let body = match u16::from_be_bytes([header[2], header[3]]) {
        RST_STREAM => Body::Reset,
        PING => Body::Ping,
        GOAWAY => return Ok((State::Skip { left: length }, Some(Item::GoAway))),
        _ => return Ok((State::Skip { left: length }, None)),
    };
    let Some(rest) = length.checked_sub(body.len()) else {
        return Err(Violation("a control frame shorter than its fields"));
    };
    Ok((
        State::Body {
            kind: body,
            body: Gathered::new(),
            rest,
        },
        None,
    ))
}

/// Small field that may arrive in pieces.
#[derive(Debug)]
struct Gathered<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Gathered<N> {
    fn new() -> Self {
        Self {
            bytes: [0; N],
            len: 0,
        }
    }

    /// Takes up to `want` (at most `N`) bytes. Returns them when all have arrived.
    fn take_from(&mut self, input: &mut &[u8], want: usize) -> Option<&[u8; N]> {
        let piece = split_front(input, want - self.len);
        self.bytes[self.len..self.len + piece.len()].copy_from_slice(piece);
        self.len += piece.len();
        (self.len == want).then_some(&self.bytes)
    }
}

fn split_front<'a>(input: &mut &'a [u8], at_most: usize) -> &'a [u8] {
    let (front, rest) = input.split_at(at_most.min(input.len()));
    *input = rest;
    front
}

fn stream_id(bytes: &[u8; 8]) -> StreamId {
    StreamId(be32(bytes, 0) & 0x7fff_ffff)
}

fn be32(bytes: &[u8; 8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// An [`Item`] that owns its bytes, with neighboring payload pieces joined.
    #[derive(Debug, PartialEq, Eq, Clone)]
    enum Seen {
        Payload(u32, Vec<u8>),
        End(u32),
        Reset(u32, u32),
        Ping(u32),
        GoAway,
    }

    fn collect(decoder: &mut Decoder, mut input: &[u8], seen: &mut Vec<Seen>) -> Result<(), Violation> {
        while let Some(item) = decoder.decode(&mut input)? {
            match item {
                Item::Payload { stream, bytes } => match seen.last_mut() {
                    Some(Seen::Payload(last, joined)) if *last == stream.0 => joined.extend_from_slice(bytes),
                    Some(_) | None => seen.push(Seen::Payload(stream.0, bytes.to_vec())),
                },
                Item::End { stream } => seen.push(Seen::End(stream.0)),
                Item::Reset { stream, status } => seen.push(Seen::Reset(stream.0, status)),
                Item::Ping { id } => seen.push(Seen::Ping(id)),
                Item::GoAway => seen.push(Seen::GoAway),
            }
        }
        assert!(input.is_empty(), "decode stopped before the end of its input");
        Ok(())
    }

    fn control(kind: u16, body: &[u8]) -> Vec<u8> {
        let mut frame = vec![0x80, 3];
        frame.extend_from_slice(&kind.to_be_bytes());
        frame.extend_from_slice(&u32::try_from(body.len()).unwrap().to_be_bytes());
        frame.extend_from_slice(body);
        frame
    }

    fn data(stream: u32, fin: bool, payload: &[u8]) -> Vec<u8> {
        let mut frame = stream.to_be_bytes().to_vec();
        frame.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_be_bytes());
        frame[4] = u8::from(fin);
        frame.extend_from_slice(payload);
        frame
    }

    fn a_frame() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            (1u32..6, any::<bool>(), prop::collection::vec(any::<u8>(), 0..300))
                .prop_map(|(stream, fin, payload)| data(stream, fin, &payload)),
            any::<[u8; 8]>().prop_map(|body| control(RST_STREAM, &body)),
            any::<[u8; 4]>().prop_map(|body| control(PING, &body)),
            any::<[u8; 8]>().prop_map(|body| control(GOAWAY, &body)),
            (
                prop_oneof![Just(2u16), Just(4), Just(8), Just(9)],
                prop::collection::vec(any::<u8>(), 0..60)
            )
                .prop_map(|(kind, body)| control(kind, &body)),
        ]
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_frames(
            frames in prop::collection::vec(a_frame(), 0..12),
            cuts in prop::collection::vec(1usize..40, 1..80),
        ) {
            let wire = frames.concat();
            let mut whole = Vec::new();
            let mut decoder = Decoder::new();
            collect(&mut decoder, &wire, &mut whole).unwrap();
            prop_assert_eq!(decoder.wanted(), HEADER_LEN);

            let mut pieces = Vec::new();
            let mut decoder = Decoder::new();
            let mut rest = wire.as_slice();
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break }
                let (piece, after) = rest.split_at((*cut).min(rest.len()));
                collect(&mut decoder, piece, &mut pieces).unwrap();
                rest = after;
            }
            prop_assert_eq!(whole, pieces);
        }

        /// Reads of payload without the decoder, no longer than it allows, give the same items.
        #[test]
        fn payload_read_without_the_decoder_is_the_same(
            frames in prop::collection::vec(a_frame(), 0..12),
        ) {
            let wire = frames.concat();
            let mut expected = Vec::new();
            collect(&mut Decoder::new(), &wire, &mut expected).unwrap();

            let direct = StreamId(3);
            let (mut seen, mut decoder, mut rest) = (Vec::new(), Decoder::new(), wire.as_slice());
            loop {
                collect(&mut decoder, &[], &mut seen).unwrap();
                if rest.is_empty() { break }
                if let Some(left) = decoder.payload_left(direct) {
                    let bytes = split_front(&mut rest, left);
                    decoder.payload_taken(bytes.len());
                    match seen.last_mut() {
                        Some(Seen::Payload(last, joined)) if *last == direct.0 => joined.extend_from_slice(bytes),
                        Some(_) | None => seen.push(Seen::Payload(direct.0, bytes.to_vec())),
                    }
                    continue;
                }
                prop_assert!(decoder.wanted() > 0);
                let bytes = split_front(&mut rest, decoder.wanted());
                collect(&mut decoder, bytes, &mut seen).unwrap();
            }
            prop_assert_eq!(expected, seen);
        }

        #[test]
        fn garbage_never_panics(garbage in prop::collection::vec(any::<u8>(), 0..2000)) {
            let _ = collect(&mut Decoder::new(), &garbage, &mut Vec::new());
        }

        /// Control frames of the right version, so that the bodies are decoded too.
        #[test]
        fn garbage_in_control_frames_never_panics(
            garbage in prop::collection::vec((any::<u16>(), any::<[u8; 12]>()), 0..100),
        ) {
            let wire: Vec<u8> = garbage
                .iter()
                .flat_map(|(kind, bytes)| {
                    let mut frame = vec![0x80, 3];
                    frame.extend_from_slice(&(kind % 12).to_be_bytes());
                    frame.extend_from_slice(&[bytes[0], 0, 0, bytes[1] % 24]);
                    frame.extend_from_slice(bytes);
                    frame
                })
                .collect();
            let _ = collect(&mut Decoder::new(), &wire, &mut Vec::new());
        }
    }

    #[test]
    fn an_empty_frame_with_fin_ends_its_stream() {
        let mut seen = Vec::new();
        collect(&mut Decoder::new(), &data(3, true, b""), &mut seen).unwrap();
        assert_eq!(seen, [Seen::End(3)]);
    }

    #[test]
    fn another_version_is_a_violation() {
        let mut frame = control(PING, &[0; 4]);
        frame[1] = 2;
        assert!(collect(&mut Decoder::new(), &frame, &mut Vec::new()).is_err());
    }

    #[test]
    fn a_ping_too_short_for_its_number_is_a_violation() {
        assert!(collect(&mut Decoder::new(), &control(PING, &[0; 3]), &mut Vec::new()).is_err());
    }
}
