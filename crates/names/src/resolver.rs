//! Resolver: asks the sides that the rules name, waits for them and caches their answers.
//!
//! It always answers, and within a bounded time.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use lru::LruCache;
use slipway_control_api::NameOutcome;
use tokio::time::{Instant, timeout};

use self::cluster::FromCluster;
use self::reply::Reply;
use crate::asks::{Addressee, AskError, Asks};
use crate::cache::{Cache, Entry};
use crate::event::{Answerer, Event, Observer};
use crate::flight::Flights;
use crate::limits::{ADDRESSED_WITHIN, LAPTOP_WITHIN, NEIGHBORS_WITHIN};
use crate::message::{self, Answer, Rcode};
use crate::name::{Label, Name};
use crate::question::{KEY, Query, QueryError, Question};
use crate::scope::{Decision, RefusedQuestion, Rule, Ruling, Scope};

mod admit;
mod cluster;
mod domain;
mod either;
mod elders;
mod reply;

/// Transport of a query, which bounds the size of its answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Transport {
    /// A datagram. Longer answers are cut and marked as truncated.
    Udp,
    /// A stream. Answers have any length.
    Tcp,
}

/// The session's DNS server for the laptop's programs. Clones share rules, cache and flights.
pub struct Resolver<A> {
    inner: Arc<Inner<A>>,
    /// The laptop's name servers to which programs' questions go that are the laptop's.
    addressee: Addressee,
    /// The socket from which its questions come.
    asker: Option<SocketAddr>,
}

struct Inner<A> {
    asks: A,
    observer: Observer,
    scope: RwLock<Arc<Scope>>,
    memory: Mutex<Memory>,
    flights: Flights,
}

/// Bound of names that are remembered as the laptop's.
const LAPTOP_NAMES: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

/// Bound of last labels that are remembered: more than the top-level domains that one person meets.
const LAST_LABELS: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

struct Memory {
    cache: Cache,
    /// Shared names that the laptop has.
    laptops: LruCache<Name, ()>,
    /// Whether the laptop has a domain of a last label, and when its name servers said so.
    last_labels: LruCache<Label, (bool, Instant)>,
    /// Number of flushes. An answer is not stored if its question was asked before the last one.
    era: u64,
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            cache: Cache::default(),
            laptops: LruCache::new(LAPTOP_NAMES),
            last_labels: LruCache::new(LAST_LABELS),
            era: 0,
        }
    }
}

/// Question that is being answered, with what is derived from its query.
struct Asked<'a> {
    raw: &'a Bytes,
    query: Query<'a>,
    question: Question,
    key: ([u8; KEY], usize),
    era: u64,
}

impl Asked<'_> {
    fn key(&self) -> &[u8] {
        &self.key.0[..self.key.1]
    }
}

impl<A> Clone for Resolver<A> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            addressee: self.addressee,
            asker: self.asker,
        }
    }
}

impl<A: Asks> Resolver<A> {
    /// Makes a resolver that decides by `scope`, asks through `asks` and reports every answer to `observer`.
    #[must_use]
    pub fn new(scope: Scope, asks: A, observer: Observer) -> Self {
        Self {
            inner: Arc::new(Inner {
                asks,
                observer,
                scope: RwLock::new(Arc::new(scope)),
                memory: Mutex::default(),
                flights: Flights::default(),
            }),
            addressee: Addressee::InOrder,
            asker: None,
        }
    }

    /// Returns a clone for questions to one of the laptop's name servers, the one with this place in the laptop's list.
    ///
    /// A question that is the laptop's goes to that server alone. So the program's own resolver decides how long it
    /// waits, which server it asks next, and how often, as without a session (`options timeout`, `attempts`, `rotate`).
    #[must_use]
    pub fn in_place_of(&self, server: usize) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            addressee: Addressee::Only(server),
            asker: self.asker,
        }
    }

    /// Returns a clone for questions from this socket, which its events name.
    #[must_use]
    pub fn asked_by(&self, socket: SocketAddr) -> Self {
        Self {
            asker: Some(socket),
            ..self.clone()
        }
    }

    /// Returns the rules in force.
    #[must_use]
    pub fn scope(&self) -> Arc<Scope> {
        Arc::clone(&self.inner.scope.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the rules, and forgets all answers if they differ.
    pub fn set_scope(&self, scope: Scope) {
        self.change_scope(|before| *before = scope);
    }

    /// Changes the rules, for example when namespaces come or go, and forgets all answers if they differ then.
    pub fn change_scope(&self, change: impl FnOnce(&mut Scope)) {
        let mut current = self.inner.scope.write().unwrap_or_else(PoisonError::into_inner);
        let mut scope = Scope::clone(&current);
        change(&mut scope);
        if scope == **current {
            return;
        }
        *current = Arc::new(scope);
        drop(current);
        self.flush();
    }

    /// Forgets all answers, for example when the session has reconnected.
    pub fn flush(&self) {
        let mut memory = self.memory();
        memory.cache.clear();
        memory.laptops.clear();
        memory.era += 1;
        drop(memory);
        self.inner.flights.clear();
    }

    /// Returns the interface through which this resolver asks.
    #[must_use]
    pub fn asks(&self) -> &A {
        &self.inner.asks
    }

    /// Answers a datagram from the cache, without waiting, in about a microsecond.
    ///
    /// Returns `true` with the answer in `out`. On `false`, `out` is unchanged and [`answer`](Self::answer) has to be
    /// used.
    pub fn try_answer(&self, query: &[u8], out: &mut Vec<u8>) -> bool {
        let Ok(query) = Query::parse(query) else {
            return false;
        };
        let mut key = [0; KEY];
        let length = query.key(&mut key);
        let now = Instant::now();
        let memory = self.memory();
        let Some(entry) = memory.cache.fresh(&key[..length], now) else {
            return false;
        };
        if entry.answer.bytes.len() > query.udp_limit() {
            return false;
        }
        let outcome = entry.answer.outcome;
        let (addresses, candidates) = (Arc::clone(&entry.addresses), Arc::clone(&entry.candidates));
        entry.answer.write(&query, entry.age(now), out);
        drop(memory);
        if let Ok(name) = Name::from_wire(query.name) {
            let event = Event {
                name,
                kind: query.kind(),
                answerer: Answerer::Cache,
                outcome,
                addresses,
                candidates,
                asker: self.asker,
                took: now.elapsed(),
            };
            (self.inner.observer.answered)(event);
        }
        true
    }

    /// Answers a query. Errors become answers too, such as SERVFAIL. Only bytes that are not a query get the empty
    /// answer, which must not be sent.
    pub async fn answer(&self, query: Bytes, transport: Transport) -> Bytes {
        let start = Instant::now();
        let parsed = match Query::parse(&query) {
            Ok(parsed) => parsed,
            Err(QueryError::NoQuery) => return Bytes::new(),
            Err(QueryError::Garbled) => return message::unreadable(&query, Rcode::FormErr).into(),
            Err(QueryError::NotImplemented) => return message::unreadable(&query, Rcode::NotImp).into(),
        };
        let Some(asked) = self.asked(&query, parsed) else {
            return message::unreadable(&query, Rcode::FormErr).into();
        };
        let reply = match self.remembered(&asked) {
            Some(reply) => reply,
            None => {
                if let Some(asker) = self.asker {
                    (self.inner.observer.asked)(asker);
                }
                self.find(&asked).await
            }
        };
        let Reply {
            bytes,
            answerer,
            outcome,
            addresses,
            candidates,
        } = reply;
        let kind = parsed.kind();
        (self.inner.observer.answered)(Event {
            name: asked.question.name,
            kind,
            answerer,
            outcome,
            addresses,
            candidates,
            asker: self.asker,
            took: start.elapsed(),
        });
        if transport == Transport::Udp && bytes.len() > parsed.udp_limit() {
            return message::cut(&parsed, &bytes).into();
        }
        bytes.into()
    }

    /// Answers a query of another session; `None` unless this session's cluster has the name.
    pub async fn answer_neighbor(&self, query: Bytes) -> Option<Bytes> {
        let asked = self.asked(&query, Query::parse(&query).ok()?)?;
        let Ruling { rule, decision } = self.scope().classify(&asked.question);
        let (Decision::Cluster { candidates } | Decision::Both { candidates, .. }) = decision else {
            return None;
        };
        let candidates = candidates.into();
        let found = self.ask_cluster(&asked, &candidates).await.ok()?;
        if !found.answer.outcome.exists() {
            return None;
        }
        // Not cached: for this laptop's programs the laptop's answer to this name may count instead.
        let found = FromCluster {
            lifetime: None,
            ..found
        };
        let reply = self.hand_out(&asked, found, candidates, &rule).await;
        reply.outcome.exists().then(|| reply.bytes.into())
    }

    fn asked<'a>(&self, raw: &'a Bytes, query: Query<'a>) -> Option<Asked<'a>> {
        let question = query.question()?;
        let mut key = [0; KEY];
        let length = query.key(&mut key);
        Some(Asked {
            raw,
            query,
            question,
            key: (key, length),
            era: self.memory().era,
        })
    }

    fn remembered(&self, asked: &Asked<'_>) -> Option<Reply> {
        let now = Instant::now();
        let entry = self.memory().cache.fresh(asked.key(), now)?.clone();
        let from = FromCluster {
            age: entry.age(now),
            answer: entry.answer,
            lifetime: None,
        };
        Some(Reply::cluster(&asked.query, &from, entry.candidates))
    }

    /// Asks the sides that the rules name.
    async fn find(&self, asked: &Asked<'_>) -> Reply {
        let ruling = self.scope().classify(&asked.question);
        let reply = match ruling.decision {
            Decision::Us(own) => return Reply::own(&asked.query, own),
            Decision::Laptop => self.via_laptop(asked).await,
            Decision::Refuse(RefusedQuestion::Transfer) => {
                return Reply::ours(&asked.query, Rcode::Refused, NameOutcome::Failed);
            }
            Decision::Refuse(RefusedQuestion::NoSuchName) => {
                Reply::ours(&asked.query, Rcode::NxDomain, NameOutcome::NotFound)
            }
            Decision::Cluster { candidates } => {
                self.via_cluster(asked, candidates.into(), &ruling.rule).await
            }
            Decision::Both { candidates, order } => {
                self.via_either(asked, candidates.into(), order, &ruling.rule)
                    .await
            }
        };
        if reply.outcome == NameOutcome::NotFound && ruling.rule != Rule::SpecialUse {
            return self.or_neighbors(asked, reply).await;
        }
        reply
    }

    /// Returns another session's answer in place of "no such name", if one has the name.
    async fn or_neighbors(&self, asked: &Asked<'_>, reply: Reply) -> Reply {
        let neighbors = self.inner.asks.neighbors(asked.raw.clone());
        let Ok(Some(bytes)) = timeout(NEIGHBORS_WITHIN, neighbors).await else {
            return reply;
        };
        match Answer::read(bytes.into(), &asked.query) {
            Ok(answer) if answer.outcome.exists() => {
                // The cache would give "no such name" to the next program.
                self.memory().cache.forget(asked.key());
                Reply::passed(&asked.query, answer, Answerer::Neighbor, reply.candidates)
            }
            Ok(_) | Err(_) => reply,
        }
    }

    async fn via_laptop(&self, asked: &Asked<'_>) -> Reply {
        let limit = match self.addressee {
            Addressee::InOrder => LAPTOP_WITHIN,
            Addressee::Only(_) => ADDRESSED_WITHIN,
        };
        match self.ask_laptop(asked, self.addressee, limit).await {
            Ok(answer) => Reply::passed(&asked.query, answer, Answerer::Laptop, Arc::new([])),
            Err(error) => Reply::failed(&asked.query, error.outcome(), Arc::new([])),
        }
    }

    async fn via_cluster(&self, asked: &Asked<'_>, candidates: Arc<[Name]>, rule: &Rule) -> Reply {
        match self.ask_cluster(asked, &candidates).await {
            Ok(found) => self.elders_or_ours(asked, found, candidates, rule).await,
            Err(error) => Reply::failed(&asked.query, error.outcome(), candidates),
        }
    }

    /// Admits the addresses of a cluster answer, caches the answer and makes the reply.
    async fn hand_out(
        &self,
        asked: &Asked<'_>,
        found: FromCluster,
        candidates: Arc<[Name]>,
        rule: &Rule,
    ) -> Reply {
        let found = match self.admit(asked, found, rule).await {
            Ok(found) => found,
            Err(outcome) => return Reply::failed(&asked.query, outcome, candidates),
        };
        if let Some(lifetime) = found.lifetime
            && found.answer.outcome != NameOutcome::Failed
        {
            let entry = Entry::new(
                Arc::clone(&found.answer),
                Arc::clone(&candidates),
                lifetime,
                Instant::now(),
            );
            let mut memory = self.memory();
            if memory.era == asked.era {
                memory.cache.store(asked.key(), entry);
            }
        }
        Reply::cluster(&asked.query, &found, candidates)
    }

    async fn ask_laptop(
        &self,
        asked: &Asked<'_>,
        addressee: Addressee,
        limit: Duration,
    ) -> Result<Answer, AskError> {
        let asking = self.inner.asks.laptop(asked.raw.clone(), addressee);
        let bytes = timeout(limit, asking).await.map_err(|_| AskError::TimedOut)??;
        Answer::read(bytes.into(), &asked.query)
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.inner.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
