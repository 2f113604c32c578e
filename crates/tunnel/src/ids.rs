//! Which stream names the client has used: an `Open` may come twice, and out of order, over several carriers.

use std::collections::BTreeSet;

use crate::frame::StreamId;

/// A set of stream names that stays small because the client counts them up: everything below a mark, and the
/// few that came early.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    below: u32,
    early: BTreeSet<u32>,
}

impl Seen {
    /// Adds a name; false when it was there already.
    pub(crate) fn insert(&mut self, StreamId(id): StreamId) -> bool {
        if id < self.below || !self.early.insert(id) {
            return false;
        }
        while self.early.remove(&self.below) {
            self.below = self.below.saturating_add(1);
        }
        true
    }

    /// Takes names that have not come for used ones, until no more than `most` are kept one by one. An agent that took
    /// another one's place never sees the names that its client used before.
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

    /// A set that counts names from `first` on.
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
    fn a_name_is_new_once_in_whatever_order_names_come() {
        let mut seen = Seen::starting_at(StreamId(1));
        for id in [3, 1, 2, 5, 4] {
            assert!(seen.insert(StreamId(id)), "{id}");
            assert!(!seen.insert(StreamId(id)), "{id}");
        }
        assert_eq!(seen.early(), 0, "a run without gaps is kept as one mark");
    }

    #[test]
    fn names_that_never_come_do_not_let_the_set_grow() {
        let mut seen = Seen::starting_at(StreamId(1));
        for id in (1000..3000).step_by(2) {
            assert!(seen.insert(StreamId(id)));
            seen.keep_at_most(100);
            assert!(seen.early() <= 100);
        }
        assert!(!seen.insert(StreamId(1)), "a name that far back counts as used");
        assert!(!seen.insert(StreamId(2998)), "a name is new once");
        assert!(seen.insert(StreamId(2997)), "one that is only late is new");
    }
}
