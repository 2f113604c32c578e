//! Sending half of a stream: bytes that a program wrote and that wait for credit.

use std::collections::VecDeque;
use std::task::Waker;

use bytes::Bytes;

/// Offset below which the bytes of any stream count as a conversation, not as bulk data.
const CONVERSATION: u64 = 64 * 1024;

/// Number of queued bytes below which a stream counts as a conversation at any offset.
const SMALL: usize = 16 * 1024;

#[derive(Debug, Default)]
pub(crate) struct SendHalf {
    queue: VecDeque<Bytes>,
    queued: usize,
    next: u64,
    limit: u64,
    end: End,
    /// Whether the stream is in one of the scheduler's queues.
    pub(crate) scheduled: bool,
    pub(crate) waker: Option<Waker>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum End {
    #[default]
    Open,
    /// The program wrote its last byte; `Fin` follows when all bytes are sent.
    Asked,
    /// `Fin` was sent.
    Sent,
}

impl SendHalf {
    /// Allows bytes before `limit`. A smaller limit than before has no effect.
    pub(crate) fn credit(&mut self, limit: u64) {
        self.limit = self.limit.max(limit);
    }

    /// Returns how many more bytes may be written with a queue of `buffer` bytes.
    pub(crate) fn room(&self, buffer: usize) -> usize {
        buffer.saturating_sub(self.queued)
    }

    /// Appends bytes. Returns false after [`SendHalf::finish`].
    pub(crate) fn write(&mut self, bytes: Bytes) -> bool {
        if self.end != End::Open {
            return false;
        }
        if !bytes.is_empty() {
            self.queued += bytes.len();
            self.queue.push_back(bytes);
        }
        true
    }

    pub(crate) fn finish(&mut self) {
        if self.end == End::Open {
            self.end = End::Asked;
        }
    }

    /// Returns whether the scheduler may send something now.
    pub(crate) fn is_ready(&self) -> bool {
        self.sendable() > 0 || self.fin_is_due()
    }

    /// Returns whether the end of the stream was sent.
    pub(crate) fn is_done(&self) -> bool {
        self.end == End::Sent
    }

    /// Returns whether the program wrote its last byte.
    pub(crate) fn is_finishing(&self) -> bool {
        self.end != End::Open
    }

    /// Returns whether the stream precedes bulk data.
    pub(crate) fn is_conversation(&self) -> bool {
        self.next < CONVERSATION || self.queued < SMALL
    }

    /// Takes the next bytes, at most `most`, with their offset.
    pub(crate) fn take(&mut self, most: usize) -> Option<(u64, Bytes)> {
        let most = most.min(self.sendable());
        if most == 0 {
            return None;
        }
        let front = self.queue.front_mut()?;
        let bytes = if front.len() <= most {
            self.queue.pop_front()?
        } else {
            front.split_to(most)
        };
        let offset = self.next;
        self.queued -= bytes.len();
        self.next += bytes.len() as u64;
        Some((offset, bytes))
    }

    /// Takes the end of the stream, once, when every byte before it was sent.
    pub(crate) fn take_fin(&mut self) -> Option<u64> {
        if !self.fin_is_due() {
            return None;
        }
        self.end = End::Sent;
        Some(self.next)
    }

    fn sendable(&self) -> usize {
        usize::try_from(self.limit.saturating_sub(self.next))
            .unwrap_or(usize::MAX)
            .min(self.queued)
    }

    fn fin_is_due(&self) -> bool {
        self.end == End::Asked && self.queue.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_leave_in_order_and_no_further_than_the_credit() {
        let mut half = SendHalf::default();
        half.credit(5);
        assert!(half.write(Bytes::from_static(b"abcd")));
        assert!(half.write(Bytes::from_static(b"efgh")));
        assert_eq!(half.take(3), Some((0, Bytes::from_static(b"abc"))));
        assert_eq!(half.take(9), Some((3, Bytes::from_static(b"d"))));
        assert_eq!(half.take(9), Some((4, Bytes::from_static(b"e"))));
        assert_eq!(half.take(9), None);
        half.credit(3);
        assert!(
            !half.is_ready(),
            "credit never shrinks, and an old one has no effect"
        );
        half.credit(100);
        assert_eq!(half.take(9), Some((5, Bytes::from_static(b"fgh"))));
    }

    #[test]
    fn the_end_follows_the_last_byte_and_comes_once() {
        let mut half = SendHalf::default();
        assert!(half.write(Bytes::from_static(b"ab")));
        half.finish();
        assert!(!half.write(Bytes::from_static(b"c")));
        assert_eq!(half.take_fin(), None, "bytes wait for credit");
        half.credit(2);
        assert!(half.take(9).is_some());
        assert_eq!(half.take_fin(), Some(2));
        assert_eq!(half.take_fin(), None);
        assert!(half.is_done());
    }
}
