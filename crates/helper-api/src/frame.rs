//! Frames: a `u32` length in network order, then that many bytes of JSON. No I/O here.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Maximum length of a frame's body, in bytes.
pub const MAX_FRAME: usize = 64 * 1024;

/// Size of the length in front of a body, in bytes.
const HEADER: usize = 4;

/// Encodes a message as a frame.
///
/// # Errors
/// [`FrameError::TooLong`] if it does not fit; [`FrameError::Unreadable`] if it cannot be written as JSON.
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

/// Decoder of frames, from bytes in pieces of any size.
///
/// It holds at most one incomplete frame and the bytes of the last push, and refuses a frame that is too long by its
/// header alone. After an error, close the stream: the start of the next frame is unknown.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
}

impl Decoder {
    /// Appends received bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Returns the next message, if it is complete.
    ///
    /// # Errors
    /// [`FrameError`] if the bytes are not a valid message.
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

    /// Returns whether no bytes are buffered. If there are some when the stream ends, a message was cut off.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }
}

/// Error of a frame.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Longer than [`MAX_FRAME`].
    #[error("a message of {length} bytes is too long for a frame, which has room for {MAX_FRAME}")]
    TooLong {
        /// Length of the body in bytes.
        length: usize,
    },
    /// Not JSON, or not a message of the protocol.
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
    fn an_oversize_frame_is_refused_by_its_header() {
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
