//! Pool of memory blocks for stream bytes.
//!
//! Bytes are read into a block and passed on without a copy. The block returns to the pool when its last piece is
//! dropped. The allocator would return blocks of this size to the system and request them again, and the kernel would
//! clear each of their pages: a quarter of the cost of a bulk stream.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::frame::{HEAD, MAX_BODY};

/// Size of a block in bytes: the longest frame, and the beginning of the next one, which is read with it.
const SIZE: usize = HEAD + MAX_BODY + 4096;

/// Limit below which bytes are copied out of their block, so that few bytes do not occupy a whole block.
const WORTH_A_BLOCK: usize = 16 * 1024;

/// Age at which an unused free block is released.
const UNNEEDED_AFTER: Duration = Duration::from_millis(500);

/// Largest number of free blocks in the pool.
const MOST_FREE: usize = 64;

/// Blocks of one tunnel. Clones share the pool.
#[derive(Clone, Debug, Default)]
pub(crate) struct Blocks {
    free: Arc<Mutex<Free>>,
}

#[derive(Debug, Default)]
struct Free {
    blocks: Vec<Box<[u8]>>,
    /// Smallest number of free blocks since the last trim: that many were not needed.
    fewest: usize,
    trimmed_at: Option<Instant>,
}

/// A block that is being filled, or whose bytes are in use.
#[derive(Debug)]
pub(crate) struct Block {
    memory: Box<[u8]>,
    filled: usize,
    home: Blocks,
}

impl Blocks {
    /// Takes an empty block.
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

    /// Frees the blocks that were not needed for [`UNNEEDED_AFTER`]. Every carrier calls it regularly; a call soon after
    /// another one does nothing.
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
        // A panic cannot leave the pool in an inconsistent state.
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Block {
    /// Returns the free part of the block, for the next bytes.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        self.memory.get_mut(self.filled..).unwrap_or_default()
    }

    /// Marks the first `count` bytes of the free part as filled.
    pub(crate) fn fill(&mut self, count: usize) {
        self.filled = (self.filled + count).min(self.memory.len());
    }

    /// Appends bytes, as many as fit.
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        let room = self.room();
        let count = bytes.len().min(room.len());
        room.split_at_mut(count)
            .0
            .copy_from_slice(bytes.split_at(count).0);
        self.fill(count);
    }

    /// Returns the filled bytes.
    pub(crate) fn filled(&self) -> &[u8] {
        self.memory.get(..self.filled).unwrap_or_default()
    }

    /// Turns the filled bytes into [`Bytes`]: few are copied, many keep the block.
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
    fn unneeded_blocks_are_freed() {
        let blocks = Blocks::default();
        let many: Vec<Block> = (0..10).map(|_| blocks.take()).collect();
        drop(many);
        let start = Instant::now();
        blocks.trim(start);
        assert_eq!(
            blocks.free().blocks.len(),
            10,
            "all of them were in use just before"
        );
        blocks.trim(start);
        assert_eq!(
            blocks.free().blocks.len(),
            10,
            "another carrier trims at the same time"
        );
        let few = [blocks.take(), blocks.take()];
        drop(few);
        blocks.trim(start + UNNEEDED_AFTER);
        assert_eq!(blocks.free().blocks.len(), 2);
        blocks.trim(start + UNNEEDED_AFTER * 2);
        assert_eq!(blocks.free().blocks.len(), 0);
    }

    #[test]
    fn the_number_of_free_blocks_is_bounded() {
        let blocks = Blocks::default();
        let many: Vec<Block> = (0..MOST_FREE + 5).map(|_| blocks.take()).collect();
        drop(many);
        assert_eq!(blocks.free().blocks.len(), MOST_FREE);
    }
}
