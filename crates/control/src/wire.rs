//! Lines of JSON over a socket.

use std::io;
use std::slice;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::time::timeout;
use tokio_util::codec::{Framed, LinesCodec, LinesCodecError};

/// Longest line that is read, in bytes. The longest that is sent is a status with some hundred routes, far below.
pub const MAX_LINE_BYTES: usize = 1024 * 1024;

/// How long the peer may take to read a line.
const WRITE_LIMIT: Duration = Duration::from_secs(5);

/// A socket with lines of JSON.
pub(crate) struct Lines {
    framed: Framed<UnixStream, LinesCodec>,
}

/// Error of a read.
#[derive(Debug)]
pub(crate) enum BadLine {
    /// Longer than [`MAX_LINE_BYTES`].
    TooLong,
    /// Not a known message; has its beginning.
    Unknown(String),
    /// The socket failed.
    Io(io::Error),
}

impl Lines {
    pub(crate) fn new(stream: UnixStream) -> Self {
        Self {
            framed: Framed::new(stream, LinesCodec::new_with_max_length(MAX_LINE_BYTES)),
        }
    }

    /// Reads the next message; `None` at the end.
    pub(crate) async fn read<T: DeserializeOwned>(&mut self) -> Result<Option<T>, BadLine> {
        match self.framed.next().await {
            None => Ok(None),
            Some(Ok(line)) => match serde_json::from_str(&line) {
                Ok(message) => Ok(Some(message)),
                Err(_) => Err(BadLine::Unknown(line.chars().take(120).collect())),
            },
            Some(Err(LinesCodecError::MaxLineLengthExceeded)) => Err(BadLine::TooLong),
            Some(Err(LinesCodecError::Io(error))) => Err(BadLine::Io(error)),
        }
    }

    /// Sends one message.
    pub(crate) async fn write<T: Serialize>(&mut self, message: &T) -> io::Result<()> {
        self.write_all(slice::from_ref(message)).await
    }

    /// Sends messages so that they arrive together.
    pub(crate) async fn write_all<T: Serialize>(&mut self, messages: &[T]) -> io::Result<()> {
        let written = async {
            for message in messages {
                self.framed
                    .feed(serde_json::to_string(message)?)
                    .await
                    .map_err(io_error)?;
            }
            <Framed<_, _> as SinkExt<String>>::flush(&mut self.framed)
                .await
                .map_err(io_error)
        };
        timeout(WRITE_LIMIT, written)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Waits until the peer closes or sends something; used while only this side sends.
    pub(crate) async fn closed(&mut self) {
        let _ = self.framed.next().await;
    }
}

fn io_error(error: LinesCodecError) -> io::Error {
    match error {
        LinesCodecError::Io(error) => error,
        LinesCodecError::MaxLineLengthExceeded => io::ErrorKind::InvalidData.into(),
    }
}
