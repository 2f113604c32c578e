//! Frames: a `u32` length in network order, then that many bytes of JSON. No I/O here.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Longest body of a frame, in bytes.
pub const MAX_FRAME: usize = 64 * 1024;

/// Bytes of the length in front of a body.
const HEADER: usize = 4;

/// A message as a frame.
///
/// # Errors
/// [`FrameError::TooLong`] when it does not fit one; [`FrameError::Unreadable`] when it has no JSON form.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, FrameError> {
    let mut frame = vec![0; HEADER];
    serde_json::to_writer(&mut frame, message)?;
    let body = frame.len() - HEADER;
    let Ok(length) = u32::try_from(body) else {
        return Err(FrameError::TooLong { length: body });
    };
    if body > MAX_FRAME {
        return Err(FrameError::TooLong { length: body });
    }
    let (header, _) = frame.split_at_mut(HEADER);
    header.copy_from_slice(&length.to_be_bytes());
    Ok(frame)
}

/// Takes bytes as they come and gives messages.
///
/// It never holds more than one frame and what arrived behind it, and knows a frame to be too long from its header
/// alone. After an error the stream cannot be understood any more: close it.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
}

impl Decoder {
    /// Takes bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next message, if all of it has come.
    ///
    /// # Errors
    /// [`FrameError`] when the bytes are no message.
    pub fn message<T: DeserializeOwned>(&mut self) -> Result<Option<T>, FrameError> {
        let Some((header, rest)) = self.buffer.split_first_chunk::<HEADER>() else {
            return Ok(None);
        };
        let length = usize::try_from(u32::from_be_bytes(*header)).unwrap_or(usize::MAX);
        if length > MAX_FRAME {
            return Err(FrameError::TooLong { length });
        }
        let Some(body) = rest.get(..length) else {
            return Ok(None);
        };
        let message = serde_json::from_slice(body)?;
        self.buffer.drain(..HEADER + length);
        Ok(Some(message))
    }

    /// Whether no byte waits: the peer may go now without a message being cut.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }
}

/// Bytes that are no message.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Longer than [`MAX_FRAME`].
    #[error("a message of {length} bytes is longer than the {MAX_FRAME} of a frame")]
    TooLong {
        /// Its length.
        length: usize,
    },
    /// Not JSON, or not one of the messages.
    #[error("not a message of this protocol")]
    Unreadable(#[from] serde_json::Error),
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::message::{Reply, Request};

    #[test]
    fn messages_come_out_whole_however_they_are_cut() {
        let mut wire = encode(&Request::Status).expect("fits");
        wire.extend(encode(&Request::Down).expect("fits"));
        let mut decoder = Decoder::default();
        let mut seen = Vec::new();
        for byte in wire {
            decoder.push(&[byte]);
            while let Some(request) = decoder.message::<Request>().expect("a message") {
                seen.push(request);
            }
        }
        assert_eq!(seen, [Request::Status, Request::Down]);
        assert!(decoder.is_empty());
    }

    #[test]
    fn a_header_alone_gives_an_oversize_frame_away() {
        let mut decoder = Decoder::default();
        decoder.push(&65537u32.to_be_bytes());
        assert!(matches!(
            decoder.message::<Request>(),
            Err(FrameError::TooLong { length: 65537 })
        ));
        assert!(matches!(
            encode(&"x".repeat(MAX_FRAME)),
            Err(FrameError::TooLong { length: 65538 })
        ));
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes: Vec<u8>, framed: bool) {
            let mut decoder = Decoder::default();
            if framed {
                decoder.push(&u32::try_from(bytes.len()).expect("short").to_be_bytes());
            }
            decoder.push(&bytes);
            let _ = decoder.message::<Request>();
            let _ = decoder.message::<Reply>();
        }

        #[test]
        fn json_that_is_no_request_never_panics(text in "[\\[\\]{}\",:0-9a-z_./ -]{0,200}") {
            let mut decoder = Decoder::default();
            decoder.push(&u32::try_from(text.len()).expect("short").to_be_bytes());
            decoder.push(text.as_bytes());
            let _ = decoder.message::<Request>();
        }
    }
}
