//! Memory for bytes under way, used again and again.
//!
//! Bytes are read into a block and handed on without a copy; when the last holder of a piece of it lets go, the block
//! comes back here. Left to the allocator, blocks of this size would be given back to the system and asked for anew
//! all the time, and each of their pages cleared by the kernel: a quarter of what a bulk stream cost the session.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::frame::{HEAD, MAX_BODY};

/// Bytes of a block: the longest frame, and the beginning of the next, which comes along with it.
const SIZE: usize = HEAD + MAX_BODY + 4096;

/// Fewer bytes than this are copied out of their block, so that they do not keep all of it from being used.
const WORTH_A_BLOCK: usize = 16 * 1024;

/// How long a free block is kept that nobody needs.
const UNNEEDED_AFTER: Duration = Duration::from_millis(500);

/// Blocks that are kept while nobody uses them.
const MOST_FREE: usize = 64;

/// The blocks of one tunnel; clones are the same blocks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Blocks {
    free: Arc<Mutex<Free>>,
}

#[derive(Debug, Default)]
struct Free {
    blocks: Vec<Box<[u8]>>,
    /// The fewest that were free since the last trim: nobody needed these.
    fewest: usize,
    trimmed_at: Option<Instant>,
}

/// A block that is being filled, or whose bytes somebody holds.
#[derive(Debug)]
pub(crate) struct Block {
    memory: Box<[u8]>,
    filled: usize,
    home: Blocks,
}

impl Blocks {
    /// An empty block.
    pub(crate) fn take(&self) -> Block {
        let mut free = self.free();
        let used = free.blocks.pop();
        free.fewest = free.fewest.min(free.blocks.len());
        drop(free);
        Block {
            memory: used.unwrap_or_else(|| vec![0; SIZE].into_boxed_slice()),
            filled: 0,
            home: self.clone(),
        }
    }

    /// Gives the system back what nobody needed for [`UNNEEDED_AFTER`]. Every carrier calls it now and then; soon after
    /// another, it does nothing.
    pub(crate) fn trim(&self, now: Instant) {
        let mut free = self.free();
        if free
            .trimmed_at
            .is_some_and(|last| now.duration_since(last) < UNNEEDED_AFTER)
        {
            return;
        }
        free.trimmed_at = Some(now);
        let needed = free.blocks.len() - free.fewest;
        let unneeded = free.blocks.split_off(needed);
        free.fewest = needed;
        drop(free);
        drop(unneeded);
    }

    fn free(&self) -> MutexGuard<'_, Free> {
        // Nothing in it can be half done.
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Block {
    /// Where the next bytes go.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        self.memory.get_mut(self.filled..).unwrap_or_default()
    }

    /// Says that the first `count` bytes of the room are there now.
    pub(crate) fn fill(&mut self, count: usize) {
        self.filled = (self.filled + count).min(self.memory.len());
    }

    /// Puts bytes behind those that are there; as many as there is room for.
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        let room = self.room();
        let count = bytes.len().min(room.len());
        room.split_at_mut(count)
            .0
            .copy_from_slice(bytes.split_at(count).0);
        self.fill(count);
    }

    /// The bytes that are there.
    pub(crate) fn filled(&self) -> &[u8] {
        self.memory.get(..self.filled).unwrap_or_default()
    }

    /// The bytes that are there, to be handed on. Few are copied, many take their block along.
    pub(crate) fn into_bytes(self) -> Bytes {
        if self.filled < WORTH_A_BLOCK {
            Bytes::copy_from_slice(self.filled())
        } else {
            Bytes::from_owner(self)
        }
    }
}

impl AsRef<[u8]> for Block {
    fn as_ref(&self) -> &[u8] {
        self.filled()
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let memory = std::mem::take(&mut self.memory);
        let mut free = self.home.free();
        if free.blocks.len() < MOST_FREE {
            free.blocks.push(memory);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(blocks: &Blocks, byte: u8, count: usize) -> Block {
        let mut block = blocks.take();
        block.append(&vec![byte; count]);
        block
    }

    #[test]
    fn a_block_comes_back_when_the_last_piece_of_it_is_dropped() {
        let blocks = Blocks::default();
        let mut bytes = filled(&blocks, 7, WORTH_A_BLOCK).into_bytes();
        let piece = bytes.split_to(100);
        drop(bytes);
        assert_eq!(blocks.free().blocks.len(), 0, "a piece is held");
        assert_eq!(piece, vec![7; 100]);
        drop(piece);
        assert_eq!(blocks.free().blocks.len(), 1);
    }

    #[test]
    fn few_bytes_hold_no_block() {
        let blocks = Blocks::default();
        let bytes = filled(&blocks, 7, WORTH_A_BLOCK - 1).into_bytes();
        assert_eq!(blocks.free().blocks.len(), 1);
        assert_eq!(bytes, vec![7; WORTH_A_BLOCK - 1]);
    }

    #[test]
    fn what_nobody_needed_is_given_back() {
        let blocks = Blocks::default();
        let many: Vec<Block> = (0..10).map(|_| blocks.take()).collect();
        drop(many);
        let start = Instant::now();
        blocks.trim(start);
        assert_eq!(blocks.free().blocks.len(), 10, "all of them were in use just now");
        blocks.trim(start);
        assert_eq!(
            blocks.free().blocks.len(),
            10,
            "another carrier asks at the same time"
        );
        let few = [blocks.take(), blocks.take()];
        drop(few);
        blocks.trim(start + UNNEEDED_AFTER);
        assert_eq!(blocks.free().blocks.len(), 2);
        blocks.trim(start + UNNEEDED_AFTER * 2);
        assert_eq!(blocks.free().blocks.len(), 0);
    }

    #[test]
    fn no_more_are_kept_than_the_bound() {
        let blocks = Blocks::default();
        let many: Vec<Block> = (0..MOST_FREE + 5).map(|_| blocks.take()).collect();
        drop(many);
        assert_eq!(blocks.free().blocks.len(), MOST_FREE);
    }
}
