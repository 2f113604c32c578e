//! Encoder of outgoing frames.

use bytes::{BufMut, BytesMut};

use super::{CONTROL_BIT, FLAG_FIN, HEADER_LEN, MAX_LENGTH, PING, SYN_STREAM, StreamId, VERSION};

/// Returns the header of a DATA frame; its `length` bytes of payload follow on the wire. `length` is cut at
/// [`MAX_LENGTH`].
pub(crate) fn data_header(stream: StreamId, length: usize, fin: bool) -> [u8; HEADER_LEN] {
    let [s0, s1, s2, s3] = stream.0.to_be_bytes();
    let [l0, l1, l2] = length24(length);
    [
        s0 & !CONTROL_BIT,
        s1,
        s2,
        s3,
        if fin { FLAG_FIN } else { 0 },
        l0,
        l1,
        l2,
    ]
}

/// Returns a PING frame: the answer to a peer's PING carries the same number (section 2.6.5).
pub(crate) fn ping(id: u32) -> [u8; 12] {
    let mut frame = [0; 12];
    frame[..8].copy_from_slice(&control_header(PING, 4));
    frame[8..].copy_from_slice(&id.to_be_bytes());
    frame
}

/// Encoder of SYN_STREAM frames. There is one for each connection, because their header blocks form one zlib stream.
///
/// The blocks are not compressed. Section 2.6.10 requires a zlib stream that names the protocol's dictionary, and deflate
/// has stored blocks. So a zlib header with the dictionary's checksum, followed by each header block as a stored block,
/// can be inflated by every SPDY peer. A carrier writes only two blocks of 60 bytes, so a compressor and a dictionary of
/// 1,423 bytes would save nothing.
#[derive(Debug, Default)]
pub(crate) struct HeaderBlocks {
    started: bool,
}

/// Zlib header (RFC 1950): deflate with a 32 KiB window, FDICT set, check bits; then the Adler-32 of SPDY/3's dictionary.
const ZLIB_HEADER: [u8; 6] = [0x78, 0xbb, 0xe3, 0xc6, 0xa7, 0xc2];

/// Empty stored block (RFC 1951, 3.2.4). An inflater outputs everything when it meets one, which is why zlib's sync
/// flush ends with it.
const SYNC_FLUSH: [u8; 5] = [0x00, 0x00, 0x00, 0xff, 0xff];

impl HeaderBlocks {
    /// Appends the SYN_STREAM that opens `stream` with these headers (names in lower case).
    ///
    /// The headers together must be shorter than 64 KiB, the limit of a stored block; those of a port-forward are
    /// constants and a port number.
    pub(crate) fn syn_stream(&mut self, stream: StreamId, headers: &[(&str, &str)], out: &mut BytesMut) {
        let block = name_value_block(headers);
        let mut body = BytesMut::with_capacity(block.len() + 32);
        body.put_u32(stream.0);
        body.put_u32(0); // associated with no stream
        body.put_u16(0); // priority and slot
        if !std::mem::replace(&mut self.started, true) {
            body.put_slice(&ZLIB_HEADER);
        }
        let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
        body.put_u8(0); // a stored block, not the last one
        body.put_u16_le(length);
        body.put_u16_le(!length);
        body.put_slice(&block[..usize::from(length)]);
        body.put_slice(&SYNC_FLUSH);

        out.put_slice(&control_header(SYN_STREAM, body.len()));
        out.put_slice(&body);
    }
}

/// Encodes a name/value block (section 2.6.10): a count, then names and values, each with its length; all 32 bits.
fn name_value_block(headers: &[(&str, &str)]) -> BytesMut {
    let mut block = BytesMut::new();
    block.put_u32(length32(headers.len()));
    for text in headers.iter().flat_map(|(name, value)| [name, value]) {
        block.put_u32(length32(text.len()));
        block.put_slice(text.as_bytes());
    }
    block
}

fn control_header(kind: u16, length: usize) -> [u8; HEADER_LEN] {
    let [v0, v1] = VERSION.to_be_bytes();
    let [k0, k1] = kind.to_be_bytes();
    let [l0, l1, l2] = length24(length);
    [v0 | CONTROL_BIT, v1, k0, k1, 0, l0, l1, l2]
}

fn length24(length: usize) -> [u8; 3] {
    let [_, l0, l1, l2] = length32(length.min(MAX_LENGTH)).to_be_bytes();
    [l0, l1, l2]
}

fn length32(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripted::inflate_headers;

    #[test]
    fn zlib_with_the_spdy_dictionary_reads_our_headers() {
        let headers = [("streamtype", "error"), ("port", "7000"), ("requestid", "0")];
        let mut blocks = HeaderBlocks::default();
        let mut out = BytesMut::new();
        blocks.syn_stream(StreamId(1), &headers, &mut out);
        let first = out.split();
        blocks.syn_stream(StreamId(3), &headers, &mut out);

        let mut inflater = flate2::Decompress::new(true);
        for frame in [first, out] {
            let read = inflate_headers(&mut inflater, &frame[18..]);
            assert_eq!(
                read,
                headers.map(|(name, value)| (name.to_owned(), value.to_owned()))
            );
        }
    }

    #[test]
    fn the_length_field_counts_what_follows_the_header() {
        let mut out = BytesMut::new();
        HeaderBlocks::default().syn_stream(StreamId(1), &[("a", "b")], &mut out);
        assert_eq!(usize::from(out[7]), out.len() - HEADER_LEN);
        assert_eq!(
            data_header(StreamId(3), 0x01_0203, true),
            [0, 0, 0, 3, 1, 1, 2, 3]
        );
        assert_eq!(ping(7), [0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 7]);
    }
}
