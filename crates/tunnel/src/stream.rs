//! TCP connection in the tunnel.

use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;

use crate::blocks::Blocks;
use crate::frame::{ResetCause, StreamId};
use crate::shared_core::{SharedCore, now};

/// One TCP connection in the tunnel. Its bytes move in chunks that are not copied.
///
/// Reads and writes may run at the same time. Dropping a stream that has not ended in both directions resets it.
#[derive(Debug)]
pub struct Stream {
    core: Arc<SharedCore>,
    id: StreamId,
}

/// Error of a stream that was reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StreamError(pub ResetCause);

impl Stream {
    pub(crate) fn new(core: Arc<SharedCore>, id: StreamId) -> Stream {
        Stream { core, id }
    }

    /// Returns the pool of memory to read bytes into before they are written.
    pub(crate) fn blocks(&self) -> &Blocks {
        &self.core.blocks
    }

    /// Returns the next bytes in order, or `None` at the end of the peer's bytes.
    ///
    /// # Errors
    ///
    /// Returns [`StreamError`] when the stream was reset.
    pub async fn read(&self) -> Result<Option<Bytes>, StreamError> {
        std::future::poll_fn(|cx| match self.core.lock().read(self.id, now(), cx.waker()) {
            Some(outcome) => Poll::Ready(outcome.map_err(StreamError)),
            None => Poll::Pending,
        })
        .await
    }

    /// Waits until bytes may be written, and returns how many.
    ///
    /// # Errors
    ///
    /// Returns [`StreamError`] when the stream was reset.
    pub async fn room(&self) -> Result<usize, StreamError> {
        std::future::poll_fn(|cx| match self.core.lock().room(self.id, cx.waker()) {
            Some(outcome) => Poll::Ready(outcome.map_err(StreamError)),
            None => Poll::Pending,
        })
        .await
    }

    /// Writes bytes, at most as many as [`Stream::room`] returned.
    ///
    /// # Errors
    ///
    /// Returns [`StreamError`] when the stream was reset or finished.
    pub fn write(&self, bytes: Bytes) -> Result<(), StreamError> {
        self.core.lock().write(self.id, bytes).map_err(StreamError)
    }

    /// Ends the stream in the direction of the peer. Reads continue.
    pub fn finish(&self) {
        self.core.lock().finish(self.id);
    }

    /// Ends the stream in both directions.
    pub fn reset(&self, cause: ResetCause) {
        self.core.lock().reset(self.id, cause);
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.core.lock().detach(self.id);
    }
}
