//! What the cluster answered lately. Bounded; time is passed in.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::message::Answer;
use crate::name::Name;

/// How many answers are kept.
pub(crate) const ENTRIES: usize = 4096;

/// How long an answer may still be given out after its time while the cluster cannot be asked.
pub(crate) const STALE_FOR: Duration = Duration::from_secs(10);

/// An answer as it may be given to whoever asks with the same key.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) answer: Arc<Answer>,
    pub(crate) candidates: Arc<[Name]>,
    /// Those of the answer, ready to be told.
    pub(crate) addresses: Arc<[IpAddr]>,
    stored: Instant,
    fresh_until: Instant,
}

impl Entry {
    pub(crate) fn new(
        answer: Arc<Answer>,
        candidates: Arc<[Name]>,
        lifetime: Duration,
        now: Instant,
    ) -> Self {
        Self {
            addresses: answer.addresses.as_slice().into(),
            answer,
            candidates,
            stored: now,
            fresh_until: now + lifetime,
        }
    }

    pub(crate) fn age(&self, now: Instant) -> Duration {
        now.duration_since(self.stored)
    }
}

/// Answers by key, oldest out first.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    entries: HashMap<Arc<[u8]>, (u64, Entry)>,
    /// Keys in the order of storing. One that was stored again stands here twice; the number tells which counts.
    order: VecDeque<(Arc<[u8]>, u64)>,
    stored: u64,
}

impl Cache {
    /// An answer that may be given out as it is.
    pub(crate) fn fresh(&self, key: &[u8], now: Instant) -> Option<&Entry> {
        self.entries
            .get(key)
            .map(|(_, entry)| entry)
            .filter(|entry| now < entry.fresh_until)
    }

    /// An answer that may be given out if there is no better one.
    pub(crate) fn stale(&self, key: &[u8], now: Instant) -> Option<&Entry> {
        self.entries
            .get(key)
            .map(|(_, entry)| entry)
            .filter(|entry| now < entry.fresh_until + STALE_FOR)
    }

    /// Stores an answer in place of an earlier one with the same key.
    pub(crate) fn store(&mut self, key: &[u8], entry: Entry) {
        let key: Arc<[u8]> = key.into();
        self.stored += 1;
        self.order.push_back((Arc::clone(&key), self.stored));
        self.entries.insert(key, (self.stored, entry));
        while self.order.len() > ENTRIES {
            let Some((key, number)) = self.order.pop_front() else {
                break;
            };
            if self
                .entries
                .get(&key)
                .is_some_and(|(stored, _)| *stored == number)
            {
                self.entries.remove(&key);
            }
        }
    }

    /// Forgets one answer.
    pub(crate) fn forget(&mut self, key: &[u8]) {
        self.entries.remove(key);
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.order.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Rcode, empty, query};
    use crate::question::{Query, RecordType};

    fn entry(lifetime: Duration, now: Instant) -> Entry {
        let bytes = query(&"web".parse().unwrap(), RecordType::A);
        let asked = Query::parse(&bytes).unwrap();
        let answer = Answer::read(empty(&asked, Rcode::NoError), &asked).unwrap();
        Entry::new(Arc::new(answer), Arc::new([]), lifetime, now)
    }

    #[test]
    fn an_answer_is_fresh_then_stale_then_gone() {
        let start = Instant::now();
        let mut cache = Cache::default();
        cache.store(b"key", entry(Duration::from_secs(5), start));
        for (after, fresh, stale) in [
            (0, true, true),
            (4, true, true),
            (5, false, true),
            (14, false, true),
            (15, false, false),
        ] {
            let now = start + Duration::from_secs(after);
            assert_eq!(
                (
                    cache.fresh(b"key", now).is_some(),
                    cache.stale(b"key", now).is_some()
                ),
                (fresh, stale),
                "{after} s"
            );
        }
        cache.clear();
        assert!(cache.stale(b"key", start).is_none());
    }

    #[test]
    fn the_cache_never_holds_more_than_its_bound_and_drops_the_oldest() {
        let now = Instant::now();
        let mut cache = Cache::default();
        for number in 0..ENTRIES + 10 {
            cache.store(&number.to_be_bytes(), entry(Duration::from_secs(5), now));
            cache.store(b"often", entry(Duration::from_secs(5), now));
        }
        assert!(cache.entries.len() <= ENTRIES && cache.order.len() <= ENTRIES);
        assert!(cache.fresh(&0_usize.to_be_bytes(), now).is_none());
        assert!(cache.fresh(b"often", now).is_some());
    }
}
