//! Pipe: the bytes of a carrier of any kind.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::{fmt, future::poll_fn};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::CarrierKind;
use crate::exec::Command;
use crate::port_forward::PortForward;
use crate::waiters::SharedWrite;
use crate::websocket::WebSocket;

/// A connection of any kind as bytes.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// One byte pipe to a port of a pod.
///
/// Bytes written arrive in order, and are under way at the latest after a flush. Writes of 64 to
/// 256 KiB are the cheapest; vectored ones are as good as one piece. `shutdown` closes the carrier
/// in both directions, there is no half-close. Reads end with 0 bytes when the pod closed, and with
/// an error that [`CarrierError::of`](crate::CarrierError::of) explains when anything else ended it.
/// Dropping the pipe closes it at once.
///
/// The pipe sends nothing by itself while nobody writes, and notices a peer that is gone only
/// through TCP: whoever uses it should talk regularly.
pub struct Pipe {
    io: Box<dyn Duplex>,
    kind: CarrierKind,
}

impl Pipe {
    /// A port-forward over a connection that was upgraded to plain SPDY/3.1.
    pub(crate) fn spdy<T: Duplex + 'static>(wire: T, port: u16) -> Self {
        Self {
            io: Box::new(PortForward::new(SharedWrite::new(wire), port)),
            kind: CarrierKind::Spdy,
        }
    }

    /// A port-forward over a connection that was upgraded to a WebSocket.
    pub(crate) async fn websocket<T: Duplex + 'static>(wire: T, port: u16) -> Self {
        let websocket = WebSocket::new(wire).await;
        Self {
            io: Box::new(PortForward::new(SharedWrite::new(websocket), port)),
            kind: CarrierKind::WebSocket,
        }
    }

    /// A command's standard input and output.
    pub(crate) fn exec(command: Command) -> Self {
        Self {
            io: Box::new(command),
            kind: CarrierKind::Exec,
        }
    }

    /// The kind that carries it.
    pub fn kind(&self) -> CarrierKind {
        self.kind
    }

    /// Two halves for two tasks.
    ///
    /// TLS keeps one state for both directions, so the halves take turns under a lock, each for one
    /// poll; a task that can do both in turn, with the whole pipe, does without.
    pub fn into_split(self) -> (PipeReader, PipeWriter) {
        let shared = Arc::new(Mutex::new(self));
        (
            PipeReader {
                pipe: Arc::clone(&shared),
            },
            PipeWriter { pipe: shared },
        )
    }
}

impl fmt::Debug for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipe")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

impl AsyncRead for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// The reading half of a [`Pipe`]. The carrier closes when both halves are dropped.
#[derive(Debug)]
pub struct PipeReader {
    pipe: Arc<Mutex<Pipe>>,
}

/// The writing half of a [`Pipe`]. Dropping it does not close the carrier: shut it down for that.
#[derive(Debug)]
pub struct PipeWriter {
    pipe: Arc<Mutex<Pipe>>,
}

impl PipeWriter {
    /// Closes the carrier in both directions.
    ///
    /// # Errors
    /// Those of the last bytes' way out; the carrier is closed all the same.
    pub async fn close(mut self) -> io::Result<()> {
        poll_fn(|cx| Pin::new(&mut self).poll_shutdown(cx)).await
    }
}

/// A poll that panicked has left nothing half done that the next could not find out.
fn lock(pipe: &Mutex<Pipe>) -> MutexGuard<'_, Pipe> {
    pipe.lock().unwrap_or_else(PoisonError::into_inner)
}

impl AsyncRead for PipeReader {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *lock(&self.pipe)).poll_read(cx, buf)
    }
}

impl AsyncWrite for PipeWriter {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *lock(&self.pipe)).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *lock(&self.pipe)).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        lock(&self.pipe).is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *lock(&self.pipe)).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *lock(&self.pipe)).poll_shutdown(cx)
    }
}
