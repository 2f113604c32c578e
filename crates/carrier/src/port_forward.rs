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
mod tests;
