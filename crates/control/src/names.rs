//! Ring of the names that programs asked for recently.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use slipway_control_api::NameEvent;
use tokio::sync::broadcast;

/// Number of names that are kept.
const KEPT: usize = 500;
/// Number of names that a follower may be behind before it misses some.
const QUEUE: usize = 256;

/// The last names that programs asked for. Clones are the same ring.
#[derive(Clone, Debug)]
pub(crate) struct NameRing(Arc<Mutex<Ring>>);

#[derive(Debug)]
struct Ring {
    kept: VecDeque<NameEvent>,
    followers: broadcast::Sender<NameEvent>,
}

impl NameRing {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Ring {
            kept: VecDeque::new(),
            followers: broadcast::Sender::new(QUEUE),
        })))
    }

    /// Keeps a name and sends it to followers. Removes the oldest when there are too many.
    pub(crate) fn push(&self, event: NameEvent) {
        let mut ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if ring.kept.len() == KEPT {
            ring.kept.pop_front();
        }
        ring.kept.push_back(event.clone());
        // The send fails only without followers.
        let _ = ring.followers.send(event);
    }

    /// Sends a name that is kept already to followers.
    pub(crate) fn repeat(&self, event: NameEvent) {
        let ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = ring.followers.send(event);
    }

    /// Whether there are followers.
    pub(crate) fn is_followed(&self) -> bool {
        let ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ring.followers.receiver_count() > 0
    }

    /// Returns the names so far and a receiver of all later ones, without gap or overlap.
    pub(crate) fn follow(&self) -> (Vec<NameEvent>, broadcast::Receiver<NameEvent>) {
        let ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (ring.kept.iter().cloned().collect(), ring.followers.subscribe())
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use slipway_control_api::Answerer;

    use super::*;

    fn named(name: String) -> NameEvent {
        NameEvent {
            at: Timestamp::UNIX_EPOCH,
            name,
            kind: "A".into(),
            answer: Vec::new(),
            answered_by: Answerer::Nobody,
            asked_by: None,
            took_ms: 1,
            problem: None,
        }
    }

    #[test]
    fn the_last_names_are_kept() {
        let ring = NameRing::new();
        for number in 0..KEPT + 3 {
            ring.push(named(number.to_string()));
        }
        ring.repeat(named("repeated".into()));
        let (kept, mut new) = ring.follow();
        assert_eq!(kept.len(), KEPT);
        assert_eq!(
            (kept[0].name.as_str(), kept[KEPT - 1].name.as_str()),
            ("3", "502")
        );
        assert!(ring.is_followed());
        ring.repeat(named("again".into()));
        assert_eq!(new.try_recv().unwrap().name, "again");
    }
}
