//! Byte stream over a port-forward: the I/O around [`Dialogue`] and the SPDY codec.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use crate::dialogue::{DATA_STREAM, Dialogue, Outcome};
use crate::error::CarrierError;
use crate::spdy::{Decoder, HEADER_LEN, data_header};

/// Largest payload of a DATA frame, in bytes. The node reads a whole frame before it passes it on: larger frames gain
/// nothing, and smaller ones cost a wake-up and a write each at the node (measured).
pub const MAX_FRAME: usize = 256 * 1024;

/// Largest number of a caller's slices in one frame. One write of the tunnel has a few dozen.
const MAX_SLICES: usize = 64;

/// Number of queued bytes above which reading stops until they are sent. Only a peer that sends PINGs and does not read
/// causes that.
const MAX_QUEUED: usize = MAX_FRAME + 16 * 1024;

/// Forwarded connection over `T`, which leads to the API server.
///
/// Payload is not copied: a write passes the header and the caller's slices to `T`, and a read fills the caller's
/// buffer. The exception is a frame of which `T` took only a part: the rest is queued here and is sent before anything
/// else, because its header has announced it.
#[derive(Debug)]
pub(crate) struct PortForward<T> {
    wire: T,
    dialogue: Dialogue,
    decoder: Decoder,
    /// Bytes of whole frames, or the rest of a frame that was begun, in the order of the wire.
    queued: BytesMut,
    /// Whether `wire` took bytes of this end's own since its last complete flush, which no caller will flush.
    unflushed_reply: bool,
    closing: bool,
}

impl<T: AsyncRead + AsyncWrite + Unpin> PortForward<T> {
    /// Creates a port-forward to `port` over an upgraded connection. The opening frames are sent with the first write or
    /// the first read.
    pub(crate) fn new(wire: T, port: u16) -> Self {
        Self {
            wire,
            dialogue: Dialogue::default(),
            decoder: Decoder::new(),
            queued: Dialogue::opening(port),
            unflushed_reply: true,
            closing: false,
        }
    }

    /// Fills `buf` from the data stream until no more is available or the stream has ended.
    fn poll_fill(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<()> {
        // Large enough for everything between two payloads: frame headers, and frames that are skipped.
        let mut between = [0; 512];
        while self.dialogue.outcome().is_none() && buf.remaining() > 0 {
            if let Some(left) = self.decoder.payload_left(DATA_STREAM) {
                let read = ready!(self.poll_wire(cx, buf, left));
                self.decoder.payload_taken(read);
                continue;
            }
            let mut small = ReadBuf::new(&mut between);
            let read = match self.decoder.wanted() {
                0 => 0,
                wanted => ready!(self.poll_wire(cx, &mut small, wanted)),
            };
            self.take_in(&between[..read]);
            let stuck = self.poll_reply(cx).is_pending();
            if stuck && self.queued.len() > MAX_QUEUED {
                return Poll::Pending;
            }
        }
        Poll::Ready(())
    }

    /// Reads at most `limit` bytes to `buf`. Reports the end of the wire, or an error, to the dialogue.
    fn poll_wire(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>, limit: usize) -> Poll<usize> {
        let before = buf.filled().len();
        let limit = u64::try_from(limit).unwrap_or(u64::MAX);
        let polled = ready!(Pin::new(&mut (&mut self.wire).take(limit)).poll_read(cx, buf));
        let read = buf.filled().len() - before;
        match polled {
            Err(error) => self.dialogue.on_lost(CarrierError::lost(&error)),
            Ok(()) if read == 0 => self.dialogue.on_lost(CarrierError::lost_silently()),
            Ok(()) => {}
        }
        Poll::Ready(read)
    }

    fn take_in(&mut self, mut bytes: &[u8]) {
        loop {
            match self.decoder.decode(&mut bytes) {
                Ok(Some(item)) => self.dialogue.on(&item, &mut self.queued),
                Ok(None) => return,
                Err(violation) => {
                    return self
                        .dialogue
                        .on_lost(CarrierError::Protocol { what: violation.0 });
                }
            }
        }
    }

    /// Sends replies of the reading side, because no task may be writing.
    fn poll_reply(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.queued.is_empty() {
            self.unflushed_reply = true;
        }
        if self.unflushed_reply {
            ready!(self.poll_queued(cx))?;
            ready!(Pin::new(&mut self.wire).poll_flush(cx))?;
            self.unflushed_reply = false;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_queued(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.queued.is_empty() {
            let written = ready!(Pin::new(&mut self.wire).poll_write(cx, &self.queued))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.queued.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    /// Returns the error of a write after the data stream has ended.
    fn check_open(&self) -> io::Result<()> {
        match self.dialogue.outcome() {
            _ if self.closing => Err(io::ErrorKind::BrokenPipe.into()),
            Some(Outcome::Failed(error)) => Err(error.clone().into()),
            Some(Outcome::Ended) => Err(io::ErrorKind::BrokenPipe.into()),
            None if self.dialogue.is_over() => Err(io::ErrorKind::BrokenPipe.into()),
            None => Ok(()),
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for PortForward<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // Reads or the next write report a failure to send. It must not hide data that has arrived.
        if this.poll_reply(cx).is_pending() && this.queued.len() > MAX_QUEUED {
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let polled = this.poll_fill(cx, buf);
        // Return bytes first; the next read returns the result.
        if buf.filled().len() > before {
            return Poll::Ready(Ok(()));
        }
        ready!(polled);
        Poll::Ready(match this.dialogue.outcome() {
            Some(Outcome::Failed(error)) => Err(error.clone().into()),
            Some(Outcome::Ended) | None => Ok(()),
        })
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for PortForward<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.check_open()?;
        let Some(frame) = Frame::of(bufs) else {
            return Poll::Ready(Ok(0));
        };
        // Counted from the first queued byte. Once this exceeds the queued bytes, the frame is begun and must be finished.
        let mut sent = 0;
        let queued = this.queued.len();
        while sent < queued + frame.len() {
            let mut slices = [IoSlice::new(&[]); MAX_SLICES + 2];
            let count = frame.slices_from(&this.queued, sent, &mut slices);
            match Pin::new(&mut this.wire).poll_write_vectored(cx, &slices[..count]) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(written)) => sent += written,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending if sent <= queued => {
                    this.queued.advance(sent);
                    return Poll::Pending;
                }
                Poll::Pending => break,
            }
        }
        this.queued.clear();
        frame.keep_from(sent - queued, &mut this.queued);
        Poll::Ready(Ok(frame.payload))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_queued(cx))?;
        ready!(Pin::new(&mut this.wire).poll_flush(cx))?;
        this.unflushed_reply = false;
        Poll::Ready(Ok(()))
    }

    /// Closes the whole carrier. There is no half-close: the node ends the other direction one second after the first, and
    /// drops what is still in flight (containerd).
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !std::mem::replace(&mut this.closing, true) && !this.dialogue.is_over() {
            this.queued.extend_from_slice(&data_header(DATA_STREAM, 0, true));
        }
        ready!(this.poll_queued(cx))?;
        Pin::new(&mut this.wire).poll_shutdown(cx)
    }
}

/// DATA frame whose payload is the front of a caller's slices.
struct Frame<'a> {
    header: [u8; HEADER_LEN],
    bufs: &'a [IoSlice<'a>],
    payload: usize,
}

impl<'a> Frame<'a> {
    /// Takes as much of `bufs` as fits into one frame. Returns `None` if they are empty.
    fn of(bufs: &'a [IoSlice<'a>]) -> Option<Self> {
        let first = bufs.iter().position(|buf| !buf.is_empty())?;
        let bufs = &bufs[first..bufs.len().min(first + MAX_SLICES)];
        let payload = bufs.iter().map(|buf| buf.len()).sum::<usize>().min(MAX_FRAME);
        Some(Self {
            header: data_header(DATA_STREAM, payload, false),
            bufs,
            payload,
        })
    }

    fn len(&self) -> usize {
        HEADER_LEN + self.payload
    }

    /// Writes to `out` the slices that remain after `sent` bytes of `queued` and then of this frame were sent. Returns the
    /// number of slices.
    fn slices_from<'s>(&'s self, queued: &'s [u8], sent: usize, out: &mut [IoSlice<'s>]) -> usize {
        let mut count = 0;
        let mut skip = sent;
        let mut payload = self.payload;
        let lead = [queued, self.header.as_slice()];
        let body = self.bufs.iter().map(|buf| {
            let piece = &buf[..buf.len().min(payload)];
            payload -= piece.len();
            piece
        });
        for piece in lead.into_iter().chain(body) {
            let (gone, rest) = piece.split_at(skip.min(piece.len()));
            skip -= gone.len();
            if let Some(slot) = out.get_mut(count)
                && !rest.is_empty()
            {
                *slot = IoSlice::new(rest);
                count += 1;
            }
        }
        count
    }

    /// Appends what follows the first `sent` bytes of this frame to `out`.
    fn keep_from(&self, sent: usize, out: &mut BytesMut) {
        out.reserve(self.len() - sent);
        let mut slices = [IoSlice::new(&[]); MAX_SLICES + 2];
        let count = self.slices_from(&[], sent, &mut slices);
        for slice in &slices[..count] {
            out.extend_from_slice(slice);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripted::{Frame as Seen, Node, within};
    use std::future::poll_fn;
    use tokio::io::{AsyncWriteExt, DuplexStream};

    const PORT: u16 = 7000;

    fn pair(capacity: usize) -> (PortForward<DuplexStream>, Node<DuplexStream>) {
        let (near, far) = tokio::io::duplex(capacity);
        (PortForward::new(near, PORT), Node::new(far))
    }

    fn pattern(length: usize) -> Vec<u8> {
        (0..=250).cycle().take(length).collect()
    }

    fn carrier_error(error: &io::Error) -> &CarrierError {
        CarrierError::of(error).expect("an error of the carrier")
    }

    #[tokio::test]
    async fn the_first_bytes_follow_the_opening_without_a_round_trip() {
        let (mut near, mut node) = pair(4096);
        // The node has sent nothing when these return.
        near.write_all(b"first").await.unwrap();
        near.flush().await.unwrap();
        within(node.accept(PORT)).await;
        assert_eq!(within(node.receive(5)).await, b"first");
    }

    #[tokio::test]
    async fn a_reader_alone_opens_the_forward() {
        let (mut near, mut node) = pair(4096);
        let node = tokio::spawn(async move {
            node.accept(PORT).await;
            node.data(3, false, b"hello").await;
            node
        });
        let mut read = [0; 5];
        within(near.read_exact(&mut read)).await.unwrap();
        assert_eq!(&read, b"hello");
        node.await.unwrap();
    }

    /// The capacities cut frames at every kind of place: in the opening, in a header, in a payload.
    #[tokio::test]
    async fn bytes_arrive_whole_over_a_narrow_wire() {
        for capacity in [1, 7, 8, 9, 64, 100, 4096, 300_000] {
            let (near, mut node) = pair(capacity);
            let length = if capacity < 64 { 5_000 } else { 700_000 };
            let sent = pattern(length);
            let (mut reader, mut writer) = tokio::io::split(near);
            let node = async {
                node.accept(PORT).await;
                let received = node.receive(length).await;
                for chunk in received.chunks(33_000) {
                    node.data(3, false, chunk).await;
                }
                node.end().await;
                received
            };
            let write = async {
                writer.write_all(&sent).await?;
                writer.flush().await
            };
            let mut back = Vec::new();
            let (received, write, read) =
                within(async { tokio::join!(node, write, reader.read_to_end(&mut back)) }).await;
            write.unwrap();
            read.unwrap();
            assert!(received == sent && back == sent, "capacity {capacity}");
        }
    }

    #[tokio::test]
    async fn many_slices_go_as_one_frame() {
        let (mut near, mut node) = pair(1 << 20);
        let bytes = pattern(70_000);
        let slices: Vec<IoSlice<'_>> = bytes.chunks(1_100).map(IoSlice::new).collect();
        assert_eq!(slices.len(), MAX_SLICES);
        let written = poll_fn(|cx| Pin::new(&mut near).poll_write_vectored(cx, &slices))
            .await
            .unwrap();
        assert_eq!(written, bytes.len());
        within(node.accept(PORT)).await;
        let frame = within(node.next()).await;
        assert_eq!(
            frame,
            Some(Seen::Data {
                stream: 3,
                fin: false,
                payload: bytes
            })
        );
    }

    #[tokio::test]
    async fn no_frame_is_longer_than_the_limit() {
        let (mut near, mut node) = pair(2 << 20);
        let written = near.write(&vec![0; MAX_FRAME + 1]).await.unwrap();
        assert_eq!(written, MAX_FRAME);
        within(node.accept(PORT)).await;
        let Some(Seen::Data { payload, .. }) = within(node.next()).await else {
            panic!("no data")
        };
        assert_eq!(payload.len(), MAX_FRAME);
    }

    /// The header has announced the whole frame: a caller that stops writing must not leave the node with a frame that
    /// never ends.
    #[tokio::test]
    async fn a_frame_once_begun_is_finished_by_a_flush() {
        let (mut near, mut node) = pair(300);
        let bytes = pattern(50_000);
        let written = near.write(&bytes).await.unwrap();
        assert_eq!(written, bytes.len());
        let node = async {
            node.accept(PORT).await;
            node.receive(bytes.len()).await
        };
        let (received, flushed) = within(async { tokio::join!(node, near.flush()) }).await;
        flushed.unwrap();
        assert!(received == bytes);
    }

    #[tokio::test]
    async fn a_reader_answers_a_ping_without_a_writer() {
        let (mut near, mut node) = pair(4096);
        let reader = tokio::spawn(async move { near.read_u8().await });
        within(node.accept(PORT)).await;
        within(node.control(6, &[0, 0, 0, 42])).await;
        assert_eq!(within(node.next()).await, Some(Seen::Ping(42)));
        within(node.data(3, false, b"x")).await;
        assert_eq!(within(reader).await.unwrap().unwrap(), b'x');
    }

    #[tokio::test]
    async fn a_ping_in_the_middle_of_an_upload_does_not_cut_a_frame() {
        let (near, mut node) = pair(500);
        let (mut reader, mut writer) = tokio::io::split(near);
        let sent = pattern(200_000);
        let node = async {
            node.accept(PORT).await;
            let (mut received, mut pongs) = (Vec::new(), 0);
            for id in 0..20 {
                node.control(6, &[0, 0, 0, id]).await;
            }
            while received.len() < 200_000 || pongs < 20 {
                match node.next().await {
                    Some(Seen::Data {
                        stream: 3, payload, ..
                    }) => received.extend_from_slice(&payload),
                    Some(Seen::Ping(_)) => pongs += 1,
                    other => panic!("{other:?}"),
                }
            }
            node.end().await;
            received
        };
        let write = async {
            writer.write_all(&sent).await?;
            writer.flush().await
        };
        let mut nothing = Vec::new();
        let (received, write, read) =
            within(async { tokio::join!(node, write, reader.read_to_end(&mut nothing)) }).await;
        write.unwrap();
        read.unwrap();
        assert!(received == sent);
    }

    #[tokio::test]
    async fn a_refused_port_fails_reads_and_writes() {
        let (mut near, mut node) = pair(4096);
        near.write_all(b"hello").await.unwrap();
        within(node.accept(PORT)).await;
        within(node.data(1, false, b"dial tcp4 127.0.0.1:7000: connect: connection refused")).await;
        within(node.end()).await;
        let error = within(near.read_u8()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert!(matches!(carrier_error(&error), CarrierError::PortRefused { .. }));
        let error = near.write(b"more").await.unwrap_err();
        assert!(matches!(carrier_error(&error), CarrierError::PortRefused { .. }));
    }

    #[tokio::test]
    async fn bytes_before_an_error_are_read_before_it() {
        let (mut near, mut node) = pair(4096);
        near.write_all(b"hello").await.unwrap();
        within(node.accept(PORT)).await;
        within(node.data(3, false, b"last words")).await;
        within(node.control(3, &[0, 0, 0, 3, 0, 0, 0, 5])).await;
        let mut read = Vec::new();
        let error = within(near.read_to_end(&mut read)).await.unwrap_err();
        assert_eq!(read, b"last words");
        assert_eq!(carrier_error(&error), &CarrierError::Reset { status: 5 });
    }

    #[tokio::test]
    async fn a_node_that_goes_away_still_ends_its_stream() {
        let (mut near, mut node) = pair(4096);
        near.write_all(b"hello").await.unwrap();
        within(node.accept(PORT)).await;
        within(node.control(7, &[0, 0, 0, 3, 0, 0, 0, 0])).await;
        within(node.data(3, false, b"end")).await;
        within(node.end()).await;
        let mut read = Vec::new();
        within(near.read_to_end(&mut read)).await.unwrap();
        assert_eq!(read, b"end");
        assert_eq!(
            near.write(b"more").await.unwrap_err().kind(),
            io::ErrorKind::BrokenPipe
        );
    }

    #[tokio::test]
    async fn a_wire_that_ends_early_is_lost_not_finished() {
        let (mut near, mut node) = pair(4096);
        near.write_all(b"hello").await.unwrap();
        within(node.accept(PORT)).await;
        drop(node);
        let error = within(near.read_u8()).await.unwrap_err();
        assert!(
            matches!(carrier_error(&error), CarrierError::Lost { .. }),
            "{error}"
        );
    }

    #[tokio::test]
    async fn garbage_from_the_node_is_a_violation() {
        let (mut near, mut node) = pair(4096);
        near.write_all(b"hello").await.unwrap();
        within(node.accept(PORT)).await;
        within(node.control(6, b"")).await;
        let error = within(near.read_u8()).await.unwrap_err();
        assert!(
            matches!(carrier_error(&error), CarrierError::Protocol { .. }),
            "{error}"
        );
    }

    #[tokio::test]
    async fn shutdown_ends_the_stream_and_then_the_wire() {
        let (mut near, mut node) = pair(4096);
        near.write_all(b"bye").await.unwrap();
        near.shutdown().await.unwrap();
        within(node.accept(PORT)).await;
        assert_eq!(within(node.receive(3)).await, b"bye");
        assert_eq!(
            within(node.next()).await,
            Some(Seen::Data {
                stream: 3,
                fin: true,
                payload: Vec::new()
            })
        );
        assert_eq!(within(node.next()).await, None);
        assert_eq!(
            near.write(b"more").await.unwrap_err().kind(),
            io::ErrorKind::BrokenPipe
        );
    }
}
