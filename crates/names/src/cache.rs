//! Bounded cache of the cluster's answers. The caller gives the time.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use lru::LruCache;
use tokio::time::Instant;

use crate::message::Answer;
use crate::name::Name;

/// Bound of the cache, in answers.
const ENTRIES: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// Time after expiry for which an answer may still be given while the cluster cannot be asked.
pub(crate) const STALE_FOR: Duration = Duration::from_secs(10);

/// Cached answer, for all queries with the same key.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) answer: Arc<Answer>,
    pub(crate) candidates: Arc<[Name]>,
    /// The addresses of `answer`, in the form that events need.
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

/// Cached answers by key. Reading does not change their order, so a full cache drops the one that was stored first.
#[derive(Debug)]
pub(crate) struct Cache {
    entries: LruCache<Box<[u8]>, Entry>,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            entries: LruCache::new(ENTRIES),
        }
    }
}

impl Cache {
    /// Returns an answer that has not expired.
    pub(crate) fn fresh(&self, key: &[u8], now: Instant) -> Option<&Entry> {
        self.entries.peek(key).filter(|entry| now < entry.fresh_until)
    }

    /// Returns an answer that has not expired, or expired less than [`STALE_FOR`] ago.
    pub(crate) fn stale(&self, key: &[u8], now: Instant) -> Option<&Entry> {
        self.entries
            .peek(key)
            .filter(|entry| now < entry.fresh_until + STALE_FOR)
    }

    /// Stores an answer and replaces an earlier one with the same key.
    pub(crate) fn store(&mut self, key: &[u8], entry: Entry) {
        self.entries.put(key.into(), entry);
    }

    pub(crate) fn forget(&mut self, key: &[u8]) {
        self.entries.pop(key);
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
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
    fn a_full_cache_drops_the_oldest_answer() {
        let now = Instant::now();
        let mut cache = Cache::default();
        for number in 0..ENTRIES.get() + 10 {
            cache.store(&number.to_be_bytes(), entry(Duration::from_secs(5), now));
            cache.store(b"often", entry(Duration::from_secs(5), now));
        }
        assert!(cache.entries.len() <= ENTRIES.get());
        assert!(cache.fresh(&0_usize.to_be_bytes(), now).is_none());
        assert!(cache.fresh(b"often", now).is_some());
    }
}
