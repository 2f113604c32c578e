//! The sending half of a stream: what a program wrote and the peer's credit has not let out yet.

use std::collections::VecDeque;
use std::task::Waker;

use bytes::Bytes;

/// How far into a stream its bytes still count as a conversation rather than a bulk transfer.
const CONVERSATION: u64 = 64 * 1024;

/// A stream with less than this waiting counts as a conversation at any time.
const SMALL: usize = 16 * 1024;

#[derive(Debug, Default)]
pub(crate) struct SendHalf {
    queue: VecDeque<Bytes>,
    queued: usize,
    next: u64,
    limit: u64,
    end: End,
    /// Whether the scheduler holds the stream in one of its queues.
    pub(crate) scheduled: bool,
    pub(crate) waker: Option<Waker>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum End {
    #[default]
    Open,
    /// The program wrote its last byte; `Fin` follows when all are out.
    Asked,
    /// `Fin` is out.
    Sent,
}

impl SendHalf {
    /// Allows bytes up to `limit`; a smaller limit than before says nothing.
    pub(crate) fn credit(&mut self, limit: u64) {
        self.limit = self.limit.max(limit);
    }

    /// Bytes that may still be written ahead when `buffer` is the most.
    pub(crate) fn room(&self, buffer: usize) -> usize {
        buffer.saturating_sub(self.queued)
    }

    /// Adds bytes at the end; false after [`SendHalf::finish`].
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

    /// Whether there is something that the scheduler may send now.
    pub(crate) fn is_ready(&self) -> bool {
        self.sendable() > 0 || self.fin_is_due()
    }

    /// Whether the end of the stream is out.
    pub(crate) fn is_done(&self) -> bool {
        self.end == End::Sent
    }

    /// Whether the program wrote its last byte.
    pub(crate) fn is_finishing(&self) -> bool {
        self.end != End::Open
    }

    /// Whether the stream goes before bulk transfers.
    pub(crate) fn is_conversation(&self) -> bool {
        self.next < CONVERSATION || self.queued < SMALL
    }

    /// Takes the next bytes, `most` at the most, with their offset.
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

    /// Takes the end of the stream, once, when every byte before it is out.
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
            "credit never shrinks and an old one says nothing"
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
