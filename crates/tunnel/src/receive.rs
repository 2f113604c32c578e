//! Receiving half of a stream: puts bytes in order, and grants credit for more.

use std::collections::{BTreeMap, VecDeque};
use std::task::Waker;
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};

#[derive(Debug)]
pub(crate) struct ReceiveHalf {
    ready: VecDeque<Bytes>,
    /// Bytes that arrived before earlier ones, by offset. None overlap.
    early: BTreeMap<u64, Bytes>,
    /// Offset before which every byte is in order.
    next: u64,
    /// Offset before which every byte was read.
    read: u64,
    /// Offset before which the peer may send.
    limit: u64,
    window: u64,
    granted_at: Option<Instant>,
    end: Option<u64>,
    pub(crate) waker: Option<Waker>,
}

/// Error: the peer violated the protocol on this stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Violation;

impl ReceiveHalf {
    pub(crate) fn new(first_credit: u32) -> ReceiveHalf {
        ReceiveHalf {
            ready: VecDeque::new(),
            early: BTreeMap::new(),
            next: 0,
            read: 0,
            limit: first_credit.into(),
            window: first_credit.into(),
            granted_at: None,
            end: None,
            waker: None,
        }
    }

    /// Accepts bytes and drops those that arrived before. Returns the number of new bytes.
    ///
    /// # Errors
    ///
    /// Returns [`Violation`] if they lie beyond the credit or the end of the stream.
    pub(crate) fn accept(&mut self, mut offset: u64, mut bytes: Bytes) -> Result<u64, Violation> {
        let end = offset + bytes.len() as u64;
        if end > self.limit || self.end.is_some_and(|last| end > last) {
            return Err(Violation);
        }
        if end <= self.next {
            return Ok(0);
        }
        if offset < self.next {
            bytes.advance(
                usize::try_from(self.next - offset)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len()),
            );
            offset = self.next;
        }
        if offset > self.next {
            return Ok(self.keep_early(offset, bytes));
        }
        let mut new = bytes.len() as u64;
        self.next += new;
        self.ready.push_back(bytes);
        while let Some(entry) = self.early.first_entry() {
            let start = *entry.key();
            if start > self.next {
                break;
            }
            let mut bytes = entry.remove();
            let overlap = self.next - start;
            if overlap >= bytes.len() as u64 {
                new -= bytes.len() as u64;
                continue;
            }
            new -= overlap;
            bytes.advance(usize::try_from(overlap).unwrap_or(usize::MAX));
            self.next += bytes.len() as u64;
            self.ready.push_back(bytes);
        }
        Ok(new)
    }

    /// Stores the new ones of bytes that arrived early. Returns their number.
    fn keep_early(&mut self, mut offset: u64, mut bytes: Bytes) -> u64 {
        if let Some((start, before)) = self.early.range(..=offset).next_back() {
            let covered = (start + before.len() as u64).saturating_sub(offset);
            if covered >= bytes.len() as u64 {
                return 0;
            }
            bytes.advance(usize::try_from(covered).unwrap_or(usize::MAX));
            offset += covered;
        }
        let mut new = 0;
        while !bytes.is_empty() {
            let following = self
                .early
                .range(offset..)
                .next()
                .map(|(start, bytes)| (*start, bytes.len() as u64));
            let free = following
                .map_or(u64::MAX, |(start, _)| start - offset)
                .min(bytes.len() as u64);
            if free > 0 {
                new += free;
                self.early.insert(
                    offset,
                    bytes.split_to(usize::try_from(free).unwrap_or(usize::MAX)),
                );
                offset += free;
            }
            let Some((start, length)) = following else { break };
            if start == offset && !bytes.is_empty() {
                let skip = length.min(bytes.len() as u64);
                bytes.advance(usize::try_from(skip).unwrap_or(usize::MAX));
                offset += skip;
            }
        }
        new
    }

    /// Records the length of the stream.
    ///
    /// # Errors
    ///
    /// Returns [`Violation`] if it contradicts earlier frames.
    pub(crate) fn finish(&mut self, offset: u64) -> Result<(), Violation> {
        let received = self
            .early
            .last_key_value()
            .map_or(self.next, |(start, bytes)| start + bytes.len() as u64);
        if self.end.is_some_and(|end| end != offset) || offset < received || offset > self.limit {
            return Err(Violation);
        }
        self.end = Some(offset);
        Ok(())
    }

    /// Takes the next bytes in order.
    pub(crate) fn take(&mut self) -> Option<Bytes> {
        let bytes = self.ready.pop_front()?;
        self.read += bytes.len() as u64;
        Some(bytes)
    }

    /// Returns whether every byte was read and the stream has ended.
    pub(crate) fn is_done(&self) -> bool {
        self.end == Some(self.read)
    }

    /// Returns whether a reader would get bytes or the end.
    pub(crate) fn is_readable(&self) -> bool {
        !self.ready.is_empty() || self.is_done()
    }

    /// Returns whether every byte has arrived, read or not.
    pub(crate) fn is_complete(&self) -> bool {
        self.end == Some(self.next)
    }

    /// Returns the number of bytes received and not yet read.
    pub(crate) fn held(&self) -> u64 {
        self.next - self.read + self.early.values().map(|bytes| bytes.len() as u64).sum::<u64>()
    }

    /// Returns the next limit to grant, if half of the window was read since the last one.
    ///
    /// The window doubles if the peer used half of it within two round trips: then the window limits the rate, not the
    /// reader.
    pub(crate) fn grant(&mut self, now: Instant, rtt: Duration, most: u64) -> Option<u64> {
        if self.end.is_some() || self.limit - self.read > self.window / 2 {
            return None;
        }
        let fast = self
            .granted_at
            .is_none_or(|last| now.duration_since(last) < rtt * 2);
        self.window = if fast { self.window * 2 } else { self.window }.min(most);
        self.granted_at = Some(now);
        let limit = self.read + self.window;
        (limit > self.limit).then(|| {
            self.limit = limit;
            limit
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn drain(half: &mut ReceiveHalf) -> Vec<u8> {
        std::iter::from_fn(|| half.take()).flatten().collect()
    }

    proptest! {
        #[test]
        fn pieces_in_any_order_give_each_byte_once(
            bytes in prop::collection::vec(any::<u8>(), 1..200),
            pieces in prop::collection::vec((any::<prop::sample::Index>(), 1..40usize), 0..60),
        ) {
            let mut half = ReceiveHalf::new(1000);
            let mut got = Vec::new();
            let mut new = 0;
            for (start, length) in pieces {
                let start = start.index(bytes.len());
                let end = (start + length).min(bytes.len());
                new += half.accept(start as u64, Bytes::copy_from_slice(&bytes[start..end])).unwrap();
                got.extend(drain(&mut half));
                prop_assert_eq!(new, got.len() as u64 + half.held(), "each new byte is counted once");
            }
            new += half.accept(0, Bytes::copy_from_slice(&bytes)).unwrap();
            got.extend(drain(&mut half));
            prop_assert_eq!(new, bytes.len() as u64);
            prop_assert_eq!(&got, &bytes);
            half.finish(bytes.len() as u64).unwrap();
            prop_assert!(half.is_done());
        }
    }

    #[test]
    fn bytes_beyond_the_credit_or_the_end_are_a_violation() {
        let mut half = ReceiveHalf::new(4);
        assert_eq!(half.accept(0, Bytes::from_static(b"abcde")), Err(Violation));
        assert_eq!(half.accept(0, Bytes::from_static(b"abc")), Ok(3));
        assert_eq!(
            half.finish(2),
            Err(Violation),
            "more bytes arrived than the length"
        );
        assert_eq!(half.finish(3), Ok(()));
        assert_eq!(half.finish(3), Ok(()), "the end may arrive twice");
        assert_eq!(half.accept(3, Bytes::from_static(b"d")), Err(Violation));
    }

    #[test]
    fn credit_grows_only_for_a_fast_peer() {
        let start = Instant::now();
        let rtt = Duration::from_millis(10);
        let mut half = ReceiveHalf::new(100);
        half.accept(0, Bytes::from(vec![0; 100])).unwrap();
        assert_eq!(half.grant(start, rtt, 1000), None, "nothing was read yet");
        half.take();
        assert_eq!(
            half.grant(start, rtt, 1000),
            Some(300),
            "used up at once: the window doubles"
        );
        half.accept(100, Bytes::from(vec![0; 200])).unwrap();
        half.take();
        assert_eq!(
            half.grant(start + rtt * 5, rtt, 1000),
            Some(500),
            "a slow peer keeps its window"
        );
        half.accept(300, Bytes::from(vec![0; 200])).unwrap();
        half.take();
        assert_eq!(
            half.grant(start + rtt * 6, rtt, 250),
            Some(750),
            "no more than the maximum"
        );
    }
}
