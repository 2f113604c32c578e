//! A WebSocket as a stream of bytes: what is written goes in binary messages, and what comes in
//! binary messages is read.
//!
//! The framing (RFC 6455) is our own. Libraries give whole messages: they would hold each one until
//! its last byte, copy it once more, and allocate for it, and our bytes have no messages. Only the
//! handshake's key comes from a library.

mod frame;

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use self::frame::{Arrived, Decoder, MAX_HEADER_LEN, Opcode, push_client_frame};
use crate::error::CarrierError;

/// Payload of one message, bytes. It is masked on its way into our buffer, the one copy of this
/// rung; this much of it stays in the processor's cache until TLS takes it.
const MAX_MESSAGE: usize = 64 * 1024;

/// Bytes that wait to be sent before reading stops until they are gone, as after a flood of pings.
const MAX_QUEUED: usize = MAX_MESSAGE + 16 * 1024;

/// The client's side of a WebSocket whose handshake is over.
#[derive(Debug)]
pub(crate) struct WebSocket<T> {
    wire: T,
    decoder: Decoder,
    /// Whole frames, masked, in the order of the wire.
    queued: BytesMut,
    unflushed_reply: bool,
    peer_closed: bool,
    closing: bool,
}

impl<T: AsyncRead + AsyncWrite + Unpin> WebSocket<T> {
    pub(crate) fn new(wire: T) -> Self {
        Self {
            wire,
            decoder: Decoder::new(),
            queued: BytesMut::new(),
            unflushed_reply: false,
            peer_closed: false,
            closing: false,
        }
    }

    fn push(&mut self, opcode: Opcode, bufs: &[IoSlice<'_>], at_most: usize) -> io::Result<usize> {
        let mask = getrandom::u32().map_err(io::Error::other)?;
        Ok(push_client_frame(
            opcode,
            mask.to_ne_bytes(),
            bufs,
            at_most,
            &mut self.queued,
        ))
    }

    fn on(&mut self, arrived: &Arrived) -> io::Result<()> {
        match arrived {
            Arrived::Ping(payload) => {
                self.push(Opcode::Pong, &[IoSlice::new(payload)], payload.len())?;
                self.unflushed_reply = true;
            }
            Arrived::Pong => {}
            Arrived::Close(payload) => {
                self.peer_closed = true;
                if !std::mem::replace(&mut self.closing, true) {
                    // RFC 6455, 5.5.1: answered with the status code that came.
                    self.push(Opcode::Close, &[IoSlice::new(payload)], payload.len().min(2))?;
                    self.unflushed_reply = true;
                }
            }
        }
        Ok(())
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

    fn poll_reply(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.unflushed_reply {
            ready!(self.poll_queued(cx))?;
            ready!(Pin::new(&mut self.wire).poll_flush(cx))?;
            self.unflushed_reply = false;
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for WebSocket<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while !this.peer_closed && buf.remaining() > 0 {
            if this.poll_reply(cx)?.is_pending() && this.queued.len() > MAX_QUEUED {
                return Poll::Pending;
            }
            if let Some(left) = this.decoder.payload_left() {
                let before = buf.filled().len();
                ready!(Pin::new(&mut (&mut this.wire).take(left)).poll_read(cx, buf))?;
                let read = buf.filled().len() - before;
                this.decoder.payload_taken(read);
                return Poll::Ready(Ok(()));
            }
            let mut between = [0; frame::MAX_CONTROL_LEN];
            let mut small = ReadBuf::new(&mut between[..this.decoder.wanted()]);
            ready!(Pin::new(&mut this.wire).poll_read(cx, &mut small))?;
            if small.filled().is_empty() {
                break;
            }
            if let Some(arrived) = this.decoder.decode(small.filled()).map_err(violation)? {
                this.on(&arrived)?;
            }
        }
        // The answer to a Close; the peer may be gone already.
        let _ = this.poll_reply(cx);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for WebSocket<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.closing {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if bufs.iter().all(|buf| buf.is_empty()) {
            return Poll::Ready(Ok(0));
        }
        ready!(this.poll_queued(cx))?;
        this.queued.reserve(MAX_MESSAGE + MAX_HEADER_LEN);
        let taken = this.push(Opcode::Binary, bufs, MAX_MESSAGE)?;
        // Taken means queued; what does not go now goes with the next call.
        let _pending = this.poll_queued(cx)?;
        Poll::Ready(Ok(taken))
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

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !std::mem::replace(&mut this.closing, true) {
            this.push(
                Opcode::Close,
                &[IoSlice::new(&NORMAL_CLOSURE)],
                NORMAL_CLOSURE.len(),
            )?;
        }
        ready!(this.poll_queued(cx))?;
        Pin::new(&mut this.wire).poll_shutdown(cx)
    }
}

/// RFC 6455, 7.4.1: 1000, the purpose of the connection is fulfilled.
const NORMAL_CLOSURE: [u8; 2] = 1000_u16.to_be_bytes();

fn violation(what: &'static str) -> io::Error {
    CarrierError::Protocol { what }.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripted::{WebSocketPeer, within};
    use tokio::io::AsyncWriteExt;

    fn pair(capacity: usize) -> (WebSocket<tokio::io::DuplexStream>, WebSocketPeer) {
        let (near, far) = tokio::io::duplex(capacity);
        (WebSocket::new(near), WebSocketPeer::new(far))
    }

    #[tokio::test]
    async fn bytes_arrive_in_masked_binary_messages() {
        let (mut near, mut far) = pair(100);
        let sent: Vec<u8> = (0..=255).cycle().take(200_000).collect();
        let (write, received) = within(async {
            tokio::join!(
                async {
                    near.write_all(&sent).await?;
                    near.flush().await
                },
                async {
                    let mut received = Vec::new();
                    while received.len() < sent.len() {
                        let (opcode, payload) = far.next().await;
                        assert_eq!(opcode, 2);
                        received.extend_from_slice(&payload);
                    }
                    received
                }
            )
        })
        .await;
        write.unwrap();
        assert_eq!(received, sent);
    }

    #[tokio::test]
    async fn messages_fragments_and_pings_are_read_as_their_bytes() {
        let (mut near, mut far) = pair(1 << 20);
        far.send(0x02, b"be").await; // the first of two fragments
        far.send(0x89, b"are you there").await;
        far.send(0x80, b"gin ").await;
        far.send(0x82, b"").await;
        far.send(0x82, &[b'x'; 70_000]).await;
        let mut read = vec![0; 6 + 70_000];
        within(near.read_exact(&mut read)).await.unwrap();
        assert_eq!(&read[..7], b"begin x");
        assert_eq!(within(far.next()).await, (0x0a, b"are you there".to_vec()));
    }

    #[tokio::test]
    async fn a_close_is_answered_and_ends_the_bytes() {
        let (mut near, mut far) = pair(1 << 10);
        far.send(0x82, b"last").await;
        far.send(0x88, &[0x03, 0xe9, b'!']).await;
        let mut read = Vec::new();
        within(near.read_to_end(&mut read)).await.unwrap();
        assert_eq!(read, b"last");
        assert_eq!(within(far.next()).await, (8, vec![0x03, 0xe9]));
        assert!(near.write(b"more").await.is_err());
    }

    #[tokio::test]
    async fn a_text_message_is_a_violation() {
        let (mut near, mut far) = pair(1 << 10);
        far.send(0x81, b"hello").await;
        let error = within(near.read_u8()).await.unwrap_err();
        assert!(
            matches!(CarrierError::of(&error), Some(CarrierError::Protocol { .. })),
            "{error}"
        );
    }
}
