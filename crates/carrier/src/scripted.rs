//! Peers of a carrier for tests: a node that speaks SPDY/3.1 with a real zlib, and a WebSocket server, both scripted by
//! the test.

use std::time::Duration;

use bytes::{Buf, BufMut};
use flate2::{Decompress, FlushDecompress};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};

/// Fails a test whose event does not happen in time.
pub(crate) async fn within<T>(event: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), event)
        .await
        .expect("the event did not come")
}

/// A frame as the node receives it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    Syn {
        stream: u32,
        headers: Vec<(String, String)>,
    },
    Data {
        stream: u32,
        fin: bool,
        payload: Vec<u8>,
    },
    Ping(u32),
    Other(u16),
}

pub(crate) struct Node<T> {
    wire: T,
    inflater: Decompress,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Node<T> {
    pub(crate) fn new(wire: T) -> Self {
        Self {
            wire,
            inflater: Decompress::new(true),
        }
    }

    /// Reads the next frame; `None` at the end of the wire.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        let mut header = [0; 8];
        self.wire.read_exact(&mut header).await.ok()?;
        let length = u32::from_be_bytes([0, header[5], header[6], header[7]]);
        let mut body = vec![0; usize::try_from(length).unwrap()];
        self.wire.read_exact(&mut body).await.expect("a whole frame");
        if header[0] & 0x80 == 0 {
            let stream = u32::from_be_bytes([header[0], header[1], header[2], header[3]]);
            return Some(Frame::Data {
                stream,
                fin: header[4] & 1 == 1,
                payload: body,
            });
        }
        assert_eq!(header[..2], [0x80, 3], "SPDY version");
        Some(match u16::from_be_bytes([header[2], header[3]]) {
            1 => Frame::Syn {
                stream: body.as_slice().get_u32(),
                headers: inflate_headers(&mut self.inflater, &body[10..]),
            },
            6 => Frame::Ping(body.as_slice().get_u32()),
            kind => Frame::Other(kind),
        })
    }

    /// Reads the frames that open a forward to `port`, and acknowledges them as spdystream does.
    pub(crate) async fn accept(&mut self, port: u16) {
        for (stream, streamtype) in [(1, "error"), (3, "data")] {
            let headers = [
                ("streamtype", streamtype),
                ("port", &port.to_string()),
                ("requestid", "0"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
            assert_eq!(
                self.next().await,
                Some(Frame::Syn {
                    stream,
                    headers: headers.into()
                })
            );
            if stream == 1 {
                assert_eq!(
                    self.next().await,
                    Some(Frame::Data {
                        stream,
                        fin: true,
                        payload: Vec::new()
                    })
                );
            }
            // SYN_REPLY with an invalid header block: the client must not inflate it.
            self.control(2, &[0, 0, 0, u8::try_from(stream).unwrap(), 0xde, 0xad])
                .await;
        }
    }

    /// Reads payload of the data stream until there are `length` bytes.
    pub(crate) async fn receive(&mut self, length: usize) -> Vec<u8> {
        let mut received = Vec::new();
        while received.len() < length {
            match self.next().await {
                Some(Frame::Data {
                    stream: 3, payload, ..
                }) => received.extend_from_slice(&payload),
                other => panic!("instead of data: {other:?}"),
            }
        }
        received
    }

    pub(crate) async fn data(&mut self, stream: u32, fin: bool, payload: &[u8]) {
        let mut frame = Vec::with_capacity(payload.len() + 8);
        frame.put_u32(stream);
        frame.put_u32(u32::try_from(payload.len()).unwrap());
        frame[4] = u8::from(fin);
        frame.extend_from_slice(payload);
        self.write(&frame).await;
    }

    /// Ends both streams, in containerd's order.
    pub(crate) async fn end(&mut self) {
        self.data(3, true, b"").await;
        self.data(1, true, b"").await;
    }

    pub(crate) async fn control(&mut self, kind: u16, body: &[u8]) {
        let mut frame = vec![0x80, 3];
        frame.put_u16(kind);
        frame.put_u32(u32::try_from(body.len()).unwrap());
        frame.extend_from_slice(body);
        self.write(&frame).await;
    }

    async fn write(&mut self, bytes: &[u8]) {
        self.wire.write_all(bytes).await.unwrap();
    }
}

/// Inflates one header block with zlib, and with SPDY/3's dictionary when zlib requests it.
pub(crate) fn inflate_headers(inflater: &mut Decompress, block: &[u8]) -> Vec<(String, String)> {
    let mut out = vec![0; 4096];
    let (before_in, before_out) = (inflater.total_in(), inflater.total_out());
    let consumed = |inflater: &Decompress| usize::try_from(inflater.total_in() - before_in).unwrap();
    if let Err(error) = inflater.decompress(block, &mut out, FlushDecompress::Sync) {
        assert_eq!(error.needs_dictionary(), Some(0xe3c6_a7c2), "{error}");
        inflater
            .set_dictionary(&dictionary())
            .expect("the dictionary that the stream names");
        let rest = &block[consumed(inflater)..];
        inflater
            .decompress(rest, &mut out, FlushDecompress::Sync)
            .unwrap();
    }
    assert_eq!(consumed(inflater), block.len(), "the whole block");
    out.truncate(usize::try_from(inflater.total_out() - before_out).unwrap());

    let mut rest = out.as_slice();
    let count = rest.get_u32();
    let mut text = || {
        let length = usize::try_from(rest.get_u32()).unwrap();
        String::from_utf8(rest.copy_to_bytes(length).to_vec()).unwrap()
    };
    let headers = (0..count).map(|_| (text(), text())).collect();
    assert!(rest.is_empty(), "nothing after the headers");
    headers
}

/// Dictionary of SPDY 2.6.10.1: words that are frequent in headers, each after its 32-bit length, then a run of text.
fn dictionary() -> Vec<u8> {
    const WORDS: &str = "options head post put delete trace accept accept-charset accept-encoding \
        accept-language accept-ranges age allow authorization cache-control connection content-base \
        content-encoding content-language content-length content-location content-md5 content-range \
        content-type date etag expect expires from host if-match if-modified-since if-none-match \
        if-range if-unmodified-since last-modified location max-forwards pragma proxy-authenticate \
        proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade \
        user-agent vary via warning www-authenticate method get status";
    const TEXT: &str = concat!(
        "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505",
        "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request",
        "401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented",
        "503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00",
        " Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,",
        "application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=",
        "gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.",
    );
    let mut dictionary = Vec::new();
    let mut word = |word: &str| {
        dictionary.put_u32(u32::try_from(word.len()).unwrap());
        dictionary.put_slice(word.as_bytes());
    };
    WORDS.split_ascii_whitespace().for_each(&mut word);
    [
        "200 OK",
        "version",
        "HTTP/1.1",
        "url",
        "public",
        "set-cookie",
        "keep-alive",
        "origin",
    ]
    .into_iter()
    .for_each(&mut word);
    dictionary.put_slice(TEXT.as_bytes());
    dictionary
}

/// A WebSocket server after its handshake.
pub(crate) struct WebSocketPeer {
    wire: DuplexStream,
}

impl WebSocketPeer {
    pub(crate) fn new(wire: DuplexStream) -> Self {
        Self { wire }
    }

    /// Sends a frame whose first byte is `first`.
    pub(crate) async fn send(&mut self, first: u8, payload: &[u8]) {
        let mut frame = vec![first];
        match payload.len() {
            short @ 0..126 => frame.put_u8(u8::try_from(short).unwrap()),
            medium @ 126..65_536 => {
                frame.put_u8(126);
                frame.put_u16(u16::try_from(medium).unwrap());
            }
            long => {
                frame.put_u8(127);
                frame.put_u64(u64::try_from(long).unwrap());
            }
        }
        frame.put_slice(payload);
        self.wire.write_all(&frame).await.unwrap();
    }

    /// Reads the next frame: its opcode and its unmasked payload.
    pub(crate) async fn next(&mut self) -> (u8, Vec<u8>) {
        let (first, second) = (
            self.wire.read_u8().await.unwrap(),
            self.wire.read_u8().await.unwrap(),
        );
        assert_eq!(first & 0x80, 0x80, "our frames are not fragmented");
        assert_eq!(second & 0x80, 0x80, "a client masks");
        let length = match second & 0x7f {
            126 => u64::from(self.wire.read_u16().await.unwrap()),
            127 => self.wire.read_u64().await.unwrap(),
            short => u64::from(short),
        };
        let mut mask = [0; 4];
        self.wire.read_exact(&mut mask).await.unwrap();
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        self.wire.read_exact(&mut payload).await.unwrap();
        payload
            .iter_mut()
            .zip(mask.iter().cycle())
            .for_each(|(byte, mask)| *byte ^= mask);
        (first & 0x0f, payload)
    }
}
