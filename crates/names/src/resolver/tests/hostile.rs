//! Answers that are wrong, circular or garbage, and observers that take no events.

use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_full_or_forgotten_observer_holds_up_no_answer() {
    let (observer, events) = channel(1);
    let script = Arc::new(Script::default());
    script
        .cluster
        .says("web.shop.svc.cluster.local", Say::Address(SVC), 0);
    let resolver = Resolver::new(scope(), script, observer);
    for _ in 0..3 {
        let query = message::query(&"web".parse().unwrap(), RecordType::A);
        assert!(!resolver.answer(query.into(), Transport::Udp).await.is_empty());
    }
    assert_eq!(events.len(), 1);
    drop(events);
    assert!(resolver.try_answer(
        &message::query(&"web".parse().unwrap(), RecordType::A),
        &mut Vec::new()
    ));
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_another_question_is_a_failure() {
    struct Liar;
    impl Asks for Liar {
        async fn cluster(&self, _query: Bytes) -> Result<Bytes, AskError> {
            let other = message::query(&"other.shop.svc.cluster.local".parse().unwrap(), RecordType::A);
            Ok(message::address(&Query::parse(&other).unwrap(), SVC).into())
        }
        async fn laptop(&self, query: Bytes, _addressee: Addressee) -> Result<Bytes, AskError> {
            self.cluster(query).await
        }
        async fn admit(&self, addresses: &[IpAddr], _named_by: NamedBy) -> Vec<Admission> {
            vec![Admission::HandOut; addresses.len()]
        }
    }
    let (observer, _events) = channel(8);
    let resolver = Resolver::new(scope(), Liar, observer);
    for name in ["web.shop.svc", "www.example.org", "web"] {
        let query = message::query(&name.parse().unwrap(), RecordType::A);
        let answer = resolver.answer(query.into(), Transport::Udp).await;
        assert_eq!(message::rcode(&answer), Some(2), "{name}");
    }
}

/// Cluster on the laptop itself, whose DNS asks the laptop's resolver and so this session.
#[derive(Default)]
struct Loop {
    resolver: std::sync::OnceLock<Resolver<Arc<Loop>>>,
    asked: AtomicUsize,
}

impl Asks for Arc<Loop> {
    async fn cluster(&self, query: Bytes) -> Result<Bytes, AskError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let resolver = self.resolver.get().unwrap().clone();
        tokio::spawn(async move { resolver.answer(query, Transport::Udp).await })
            .await
            .map_err(|_| AskError::Garbled)
    }
    async fn laptop(&self, _query: Bytes, _addressee: Addressee) -> Result<Bytes, AskError> {
        Err(AskError::NoServer)
    }
    async fn admit(&self, addresses: &[IpAddr], _named_by: NamedBy) -> Vec<Admission> {
        vec![Admission::HandOut; addresses.len()]
    }
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_asks_back_causes_one_failure_and_no_loop() {
    let asks = Arc::new(Loop::default());
    let scope = Scope {
        hosts: ["db.partner.example".parse().unwrap()].into(),
        ..scope()
    };
    let resolver = Resolver::new(scope, Arc::clone(&asks), channel(8).0);
    assert!(asks.resolver.set(resolver.clone()).is_ok());
    let start = Instant::now();
    let query = message::query(&"db.partner.example".parse().unwrap(), RecordType::A);
    let answer = resolver.answer(query.into(), Transport::Udp).await;
    assert_eq!(message::rcode(&answer), Some(2));
    assert_eq!(asks.asked.load(Ordering::Relaxed), 1);
    assert!(start.elapsed() < Duration::from_secs(2));
}

/// Sides whose answers are garbage: the bytes of this vector, for the cluster after a correct question.
struct Noise(Vec<u8>);

impl Asks for Noise {
    async fn cluster(&self, query: Bytes) -> Result<Bytes, AskError> {
        let mut answer = [&query, &self.0[..]].concat();
        answer[2] |= 0x80;
        // The count of records is garbage too.
        answer[7] = self.0.first().map_or(0, |count| count % 3);
        Ok(answer.into())
    }
    async fn laptop(&self, _query: Bytes, _addressee: Addressee) -> Result<Bytes, AskError> {
        Ok(self.0.clone().into())
    }
    async fn admit(&self, addresses: &[IpAddr], _named_by: NamedBy) -> Vec<Admission> {
        vec![Admission::HandOut; addresses.len()]
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_query_and_any_reply_lead_to_an_answer(
        query in proptest::collection::vec(any::<u8>(), 0..64),
        well_formed: bool,
        label in "[a-zA-Z]{1,9}",
        noise in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let query = if well_formed {
            let mut bytes = message::query(&label.parse().unwrap(), RecordType::A);
            bytes[13..13 + label.len()].copy_from_slice(label.as_bytes());
            bytes
        } else {
            query
        };
        let (observer, _events) = channel(8);
        let resolver = Resolver::new(scope(), Noise(noise), observer);
        prop_assert!(!resolver.try_answer(&query, &mut Vec::new()));
        let answer = runtime.block_on(resolver.answer(query.clone().into(), Transport::Udp));
        if query.len() >= 12 && query[2] & 0x80 == 0 {
            prop_assert_eq!(&answer[..2], &query[..2]);
        }
        if well_formed {
            prop_assert_eq!(&answer[12..query.len()], &query[12..]);
        }
    }
}
