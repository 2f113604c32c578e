//! Byte stream over a WebSocket: written bytes are sent in binary messages, and the bytes of received binary messages are
//! read.
//!
//! The crate `tokio-tungstenite` implements the protocol. It returns a message when its last byte has arrived, so the
//! size of a message is limited.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use crate::error::CarrierError;

/// Largest payload of a sent message, in bytes. This much stays in the processor's cache while it is copied, masked and
/// encrypted.
const MAX_SENT: usize = 64 * 1024;

/// Largest payload of a received message, in bytes. API servers send 32 KiB at most.
const MAX_RECEIVED: usize = 1024 * 1024;

/// Size of one read in bytes: two TLS records. The library clears as much memory before each read.
const READ_SIZE: usize = 32 * 1024;

/// Capacity of the write buffer in bytes: one message and answers to pings. When these are too many, the library drops
/// the earlier ones.
const MAX_QUEUED: usize = 2 * MAX_SENT;

/// Client's end of a WebSocket after the handshake.
#[derive(Debug)]
pub(crate) struct WebSocket<T> {
    messages: WebSocketStream<T>,
    /// Unread rest of the last message.
    unread: Bytes,
    /// Memory for the next message to send.
    outgoing: BytesMut,
    peer_closed: bool,
    closing: bool,
}

impl<T: AsyncRead + AsyncWrite + Unpin> WebSocket<T> {
    pub(crate) async fn new(wire: T) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_SIZE)
            .write_buffer_size(0)
            .max_write_buffer_size(MAX_QUEUED)
            .max_message_size(Some(MAX_RECEIVED))
            .max_frame_size(Some(MAX_RECEIVED));
        Self {
            messages: WebSocketStream::from_raw_socket(wire, Role::Client, Some(config)).await,
            unread: Bytes::new(),
            outgoing: BytesMut::new(),
            peer_closed: false,
            closing: false,
        }
    }

    /// Copies as much of `bufs` as fits into one message.
    fn message(&mut self, bufs: &[IoSlice<'_>]) -> Bytes {
        let length = bufs.iter().map(|buf| buf.len()).sum::<usize>().min(MAX_SENT);
        self.outgoing.reserve(length);
        for buf in bufs {
            let room = length - self.outgoing.len();
            self.outgoing.extend_from_slice(&buf[..buf.len().min(room)]);
        }
        self.outgoing.split().freeze()
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for WebSocket<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.unread.is_empty() && !this.peer_closed && buf.remaining() > 0 {
            // This also sends answers to pings.
            match ready!(this.messages.poll_next_unpin(cx)) {
                Some(Ok(Message::Binary(payload))) => this.unread = payload,
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(_))) => (this.peer_closed, this.closing) = (true, true),
                Some(Ok(Message::Text(_) | Message::Frame(_))) => {
                    return Poll::Ready(Err(violation(NOT_BINARY)));
                }
                Some(Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake))) | None => break,
                Some(Err(error)) => return Poll::Ready(Err(fault(error))),
            }
        }
        if this.peer_closed {
            // Send the answer to the Close; the peer may be gone.
            let _ = this.messages.poll_next_unpin(cx);
        }
        let count = this.unread.len().min(buf.remaining());
        buf.put_slice(&this.unread[..count]);
        this.unread.advance(count);
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
        loop {
            ready!(this.messages.poll_ready_unpin(cx)).map_err(fault)?;
            let message = this.message(bufs);
            let taken = message.len();
            // The library sends as much as the wire takes, and queues the rest.
            match this.messages.start_send_unpin(Message::Binary(message)) {
                // The buffer is full of answers to pings.
                Err(Error::WriteBufferFull(_)) => {
                    ready!(this.messages.poll_flush_unpin(cx)).map_err(fault)?
                }
                sent => return Poll::Ready(sent.map(|()| taken).map_err(fault)),
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().messages.poll_flush_unpin(cx).map_err(fault)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.closing {
            // The library drops a Close for which there is no room.
            ready!(this.messages.poll_flush_unpin(cx)).map_err(fault)?;
            let close = CloseFrame {
                code: CloseCode::Normal,
                reason: Utf8Bytes::default(),
            };
            this.closing = true;
            this.messages
                .start_send_unpin(Message::Close(Some(close)))
                .map_err(fault)?;
        }
        ready!(this.messages.poll_flush_unpin(cx)).map_err(fault)?;
        Pin::new(this.messages.get_mut()).poll_shutdown(cx)
    }
}

const NOT_BINARY: &str = "a WebSocket message that is not binary";

fn fault(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        Error::Protocol(error) => violation(broken_rule(&error)),
        Error::Capacity(_) => violation("a WebSocket message longer than any API server's"),
        Error::Utf8(_) => violation(NOT_BINARY),
        error @ (Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Tls(_)
        | Error::WriteBufferFull(_)
        | Error::AttackAttempt
        | Error::Url(_)
        | Error::Http(_)
        | Error::HttpFormat(_)) => io::Error::new(io::ErrorKind::BrokenPipe, error),
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "most rules are those of handshakes, which are over, and of servers"
)]
fn broken_rule(error: &ProtocolError) -> &'static str {
    match error {
        ProtocolError::NonZeroReservedBits => "a WebSocket frame of an extension that was not agreed",
        ProtocolError::MaskedFrameFromServer => "a masked WebSocket frame from the server",
        ProtocolError::ExpectedFragment(_) => "a WebSocket message inside another",
        ProtocolError::UnexpectedContinueFrame => "the rest of no WebSocket message",
        ProtocolError::FragmentedControlFrame | ProtocolError::ControlFrameTooBig => {
            "a long or fragmented WebSocket control frame"
        }
        ProtocolError::InvalidCloseSequence => "a WebSocket close without a whole status code",
        ProtocolError::UnknownControlFrameType(_)
        | ProtocolError::UnknownDataFrameType(_)
        | ProtocolError::InvalidOpcode(_) => NOT_BINARY,
        _ => "a WebSocket frame that no server sends",
    }
}

fn violation(what: &'static str) -> io::Error {
    CarrierError::Protocol { what }.into()
}

#[cfg(test)]
mod tests;
