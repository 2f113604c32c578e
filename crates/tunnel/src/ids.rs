//! Record of the stream numbers that were used: an `Open` may arrive twice and out of order, over several carriers.

use std::collections::BTreeSet;

use crate::frame::StreamId;

/// Set of used stream numbers. It stays small because the client counts up: one mark stands for all numbers below it, and
/// only those above it are stored.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    below: u32,
    early: BTreeSet<u32>,
}

impl Seen {
    /// Adds a number. Returns false if it was used already.
    pub(crate) fn insert(&mut self, StreamId(id): StreamId) -> bool {
        if id < self.below || !self.early.insert(id) {
            return false;
        }
        while self.early.remove(&self.below) {
            self.below = self.below.saturating_add(1);
        }
        true
    }

    /// Treats missing numbers as used until at most `most` numbers are stored. An agent that replaced another one never
    /// sees the numbers that the client used before.
    pub(crate) fn keep_at_most(&mut self, most: usize) {
        while self.early.len() > most {
            let Some(first) = self.early.pop_first() else {
                return;
            };
            self.below = first.saturating_add(1);
            while self.early.remove(&self.below) {
                self.below = self.below.saturating_add(1);
            }
        }
    }

    #[cfg(test)]
    fn early(&self) -> usize {
        self.early.len()
    }

    /// Returns an empty set in which numbers start at `first`.
    pub(crate) fn starting_at(StreamId(first): StreamId) -> Seen {
        Seen {
            below: first,
            early: BTreeSet::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_new_once_in_any_order() {
        let mut seen = Seen::starting_at(StreamId(1));
        for id in [3, 1, 2, 5, 4] {
            assert!(seen.insert(StreamId(id)), "{id}");
            assert!(!seen.insert(StreamId(id)), "{id}");
        }
        assert_eq!(seen.early(), 0, "a run without gaps is kept as one mark");
    }

    #[test]
    fn numbers_that_never_come_do_not_let_the_set_grow() {
        let mut seen = Seen::starting_at(StreamId(1));
        for id in (1000..3000).step_by(2) {
            assert!(seen.insert(StreamId(id)));
            seen.keep_at_most(100);
            assert!(seen.early() <= 100);
        }
        assert!(!seen.insert(StreamId(1)), "a number that far back counts as used");
        assert!(!seen.insert(StreamId(2998)), "a number is new once");
        assert!(seen.insert(StreamId(2997)), "a late number is new");
    }
}
