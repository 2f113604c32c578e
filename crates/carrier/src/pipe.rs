//! Byte pipe over a carrier of any kind.

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

/// Connection of any kind, as bytes.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// Byte pipe to a port of a pod.
///
/// Written bytes arrive in order, and are sent at the latest by a flush. Writes of 64 to 256 KiB cost least; vectored
/// writes cost no more than contiguous ones. `shutdown` closes the carrier in both directions, there is no half-close.
/// Reads return 0 bytes when the pod closed the connection, and an error that
/// [`CarrierError::of`](crate::CarrierError::of) explains when anything else ended it. Dropping the pipe closes it at
/// once.
///
/// The pipe sends nothing by itself, and notices a lost peer only through TCP: its user should send something
/// regularly.
pub struct Pipe {
    io: Box<dyn Duplex>,
    kind: CarrierKind,
}

impl Pipe {
    /// Creates a pipe over a port-forward on a connection that was upgraded to plain SPDY/3.1.
    pub(crate) fn spdy<T: Duplex + 'static>(wire: T, port: u16) -> Self {
        Self {
            io: Box::new(PortForward::new(SharedWrite::new(wire), port)),
            kind: CarrierKind::Spdy,
        }
    }

    /// Creates a pipe over a port-forward on a connection that was upgraded to a WebSocket.
    pub(crate) async fn websocket<T: Duplex + 'static>(wire: T, port: u16) -> Self {
        let websocket = WebSocket::new(wire).await;
        Self {
            io: Box::new(PortForward::new(SharedWrite::new(websocket), port)),
            kind: CarrierKind::WebSocket,
        }
    }

    /// Creates a pipe over a command's standard input and output.
    pub(crate) fn exec(command: Command) -> Self {
        Self {
            io: Box::new(command),
            kind: CarrierKind::Exec,
        }
    }

    /// Returns the kind of the carrier.
    pub fn kind(&self) -> CarrierKind {
        self.kind
    }

    /// Splits the pipe into two halves for two tasks.
    ///
    /// TLS has one state for both directions, so each poll of a half takes a lock. A task that reads and writes in turn
    /// can use the whole pipe without it.
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

/// Reading half of a [`Pipe`]. The carrier closes when both halves are dropped.
#[derive(Debug)]
pub struct PipeReader {
    pipe: Arc<Mutex<Pipe>>,
}

/// Writing half of a [`Pipe`]. Dropping it does not close the carrier; [`PipeWriter::close`] does.
#[derive(Debug)]
pub struct PipeWriter {
    pipe: Arc<Mutex<Pipe>>,
}

impl PipeWriter {
    /// Closes the carrier in both directions.
    ///
    /// # Errors
    /// Returns an error if the last bytes could not be sent. The carrier is closed in any case.
    pub async fn close(mut self) -> io::Result<()> {
        poll_fn(|cx| Pin::new(&mut self).poll_shutdown(cx)).await
    }
}

/// Locks the pipe. A poll that panicked leaves no state that a later poll cannot handle.
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
