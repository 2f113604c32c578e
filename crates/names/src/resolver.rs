//! Asks, waits, remembers. It always answers, and within a bounded time.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use crate::asks::{AskError, Asks};
use crate::cache::{Cache, Entry};
use crate::event::{Answerer, Event, Observer, Outcome};
use crate::flight::{Flights, Landed};
use crate::message::{self, Answer, Rcode};
use crate::name::Name;
use crate::question::{KEY, Query, QueryError, RecordType};
use crate::race::{Said, Verdict, settle};
use crate::scope::{CHECK_ADDRESS, Decision, Order, Own, Refusal, Rule, Scope};

/// How long the cluster may take. Over a slow line a lookup there takes two or three round trips.
pub const CLUSTER_WITHIN: Duration = Duration::from_millis(1500);

/// How long a name without dots may take that nobody knows: below the 2 s after which people think a program hangs.
pub const NOBODY_WITHIN: Duration = Duration::from_millis(1800);

/// How long the laptop's name servers may take. They go through all servers and more than one round within it.
pub const LAPTOP_WITHIN: Duration = Duration::from_secs(8);

/// How long the side that counts may keep silent before the other's answer is taken.
pub const PATIENCE: Duration = Duration::from_millis(800);

/// How long the side that counts may keep silent before the other is asked at all.
pub const HEDGE: Duration = Duration::from_millis(150);

/// How long the cluster may keep silent before an answer of a moment ago is given instead.
pub const STALE_AFTER: Duration = Duration::from_millis(500);

/// How long routes to the addresses of an answer may take.
pub const ROUTES_WITHIN: Duration = Duration::from_secs(1);

/// How long the other sessions may take together.
pub const NEIGHBOURS_WITHIN: Duration = Duration::from_millis(150);

/// How many names we remember as the laptop's, so that a slow moment of its name servers gives none of them away.
const LAPTOP_NAMES: usize = 1024;

/// How a query came, which bounds the size of its answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Transport {
    /// In a datagram: a longer answer is cut and marked so.
    Udp,
    /// In a stream: any length.
    Tcp,
}

/// Answers questions. Clones are the same resolver.
pub struct Resolver<A> {
    inner: Arc<Inner<A>>,
}

struct Inner<A> {
    asks: A,
    observer: Observer,
    scope: RwLock<Arc<Scope>>,
    memory: Mutex<Memory>,
    flights: Flights,
}

#[derive(Default)]
struct Memory {
    cache: Cache,
    /// Names that the laptop has although the cluster might.
    laptops: HashSet<Name>,
    /// Counts flushes: what was asked before one is not stored after it.
    era: u64,
}

/// An answer and what to say about it.
struct Reply {
    bytes: Vec<u8>,
    answerer: Answerer,
    outcome: Outcome,
    candidates: Arc<[Name]>,
}

/// What the cluster, or our memory of it, says.
struct FromCluster {
    answer: Arc<Answer>,
    /// `Some` of how long it may be remembered when it is new; else it is this old.
    lifetime: Option<Duration>,
    age: Duration,
}

/// One question on its way through: the query and what belongs to it.
struct Asked<'a> {
    raw: &'a Bytes,
    query: Query<'a>,
    name: Name,
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
        }
    }
}

impl<A: Asks> Resolver<A> {
    /// A resolver that decides by `scope`, asks by `asks` and tells `observer` of every answer.
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
        }
    }

    /// The rules in force.
    #[must_use]
    pub fn scope(&self) -> Arc<Scope> {
        Arc::clone(&self.inner.scope.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts other rules in force, as when namespaces come or go, and forgets what was answered by the old ones.
    pub fn set_scope(&self, scope: Scope) {
        let scope = Arc::new(scope);
        if *self.scope() == *scope {
            return;
        }
        *self.inner.scope.write().unwrap_or_else(PoisonError::into_inner) = scope;
        self.flush();
    }

    /// Forgets all answers, as when the session has connected anew.
    pub fn flush(&self) {
        let mut memory = self.memory();
        memory.cache.clear();
        memory.laptops.clear();
        memory.era += 1;
        drop(memory);
        self.inner.flights.clear();
    }

    /// Whom this resolver asks.
    #[must_use]
    pub fn asks(&self) -> &A {
        &self.inner.asks
    }

    /// Answers a datagram from memory, if it can: without waiting, in about a microsecond.
    ///
    /// `out` then holds the answer. On `false` it is left as it was, and [`answer`](Self::answer) is the way.
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
        let (outcome, candidates) = (entry.answer.outcome, Arc::clone(&entry.candidates));
        entry.answer.write(&query, entry.age(now), out);
        drop(memory);
        if let Ok(name) = Name::from_wire(query.name) {
            let event = Event {
                name,
                kind: query.kind(),
                answerer: Answerer::Cache,
                outcome,
                candidates,
                took: now.elapsed(),
            };
            (self.inner.observer)(event);
        }
        true
    }

    /// Answers a query. What goes wrong becomes an answer too, such as SERVFAIL; only bytes that are no query at all
    /// get the empty answer, which is not to be sent.
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
            None => self.find(&asked).await,
        };
        let Reply {
            bytes,
            answerer,
            outcome,
            candidates,
        } = reply;
        let kind = parsed.kind();
        (self.inner.observer)(Event {
            name: asked.name,
            kind,
            answerer,
            outcome,
            candidates,
            took: start.elapsed(),
        });
        if transport == Transport::Udp && bytes.len() > parsed.udp_limit() {
            return message::cut(&parsed, &bytes).into();
        }
        bytes.into()
    }

    /// Answers another session that does not know a name: `None` unless this session's cluster has it.
    pub async fn answer_neighbour(&self, query: Bytes) -> Option<Bytes> {
        let asked = self.asked(&query, Query::parse(&query).ok()?)?;
        let (Decision::Cluster { candidates } | Decision::Both { candidates, .. }) =
            self.scope().classify(&asked.query.question()?).decision
        else {
            return None;
        };
        let candidates = candidates.into();
        let found = self.ask_cluster(&asked, &candidates).await.ok()?;
        if !found.answer.outcome.exists() {
            return None;
        }
        let reply = self.hand_out(&asked, found, candidates).await;
        reply.outcome.exists().then(|| reply.bytes.into())
    }

    fn asked<'a>(&self, raw: &'a Bytes, query: Query<'a>) -> Option<Asked<'a>> {
        let name = Name::from_wire(query.name).ok()?;
        let mut key = [0; KEY];
        let length = query.key(&mut key);
        Some(Asked {
            raw,
            query,
            name,
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

    /// Asks whom the rules say.
    async fn find(&self, asked: &Asked<'_>) -> Reply {
        let Some(question) = asked.query.question() else {
            return Reply::ours(&asked.query, Rcode::FormErr, Outcome::ServFail);
        };
        let ruling = self.scope().classify(&question);
        let reply = match ruling.decision {
            Decision::Us(own) => return Reply::own(&asked.query, own),
            Decision::Laptop => return self.via_laptop(asked).await,
            Decision::Refuse(Refusal::Transfer) => {
                return Reply::ours(&asked.query, Rcode::Refused, Outcome::ServFail);
            }
            Decision::Refuse(Refusal::NoSuchName) => {
                Reply::ours(&asked.query, Rcode::NxDomain, Outcome::NxDomain)
            }
            Decision::Cluster { candidates } => self.via_cluster(asked, candidates.into()).await,
            Decision::Both { candidates, order } => self.via_either(asked, candidates.into(), order).await,
        };
        if reply.outcome == Outcome::NxDomain && ruling.rule != Rule::SpecialUse {
            return self.or_neighbours(asked, reply).await;
        }
        reply
    }

    /// Another session's answer in place of "no such name".
    async fn or_neighbours(&self, asked: &Asked<'_>, reply: Reply) -> Reply {
        let neighbours = self.inner.asks.neighbours(asked.raw.clone());
        let Ok(Some(bytes)) = timeout(NEIGHBOURS_WITHIN, neighbours).await else {
            return reply;
        };
        match Answer::read(bytes.into(), &asked.query) {
            Ok(answer) if answer.outcome.exists() => {
                Reply::passed(&asked.query, answer, Answerer::Neighbour, reply.candidates)
            }
            Ok(_) | Err(_) => reply,
        }
    }

    async fn via_laptop(&self, asked: &Asked<'_>) -> Reply {
        match self.ask_laptop(asked, LAPTOP_WITHIN).await {
            Ok(answer) => Reply::passed(&asked.query, answer, Answerer::Laptop, Arc::new([])),
            Err(error) => Reply::failed(&asked.query, [error], Arc::new([])),
        }
    }

    async fn via_cluster(&self, asked: &Asked<'_>, candidates: Arc<[Name]>) -> Reply {
        match self.ask_cluster(asked, &candidates).await {
            Ok(found) => self.hand_out(asked, found, candidates).await,
            Err(error) => Reply::failed(&asked.query, [error], candidates),
        }
    }

    /// Asks both sides, the one that counts less a little later or when the other has not got the name.
    async fn via_either(&self, asked: &Asked<'_>, candidates: Arc<[Name]>, order: Order) -> Reply {
        let first_has_spoken = Notify::new();
        let its_turn = async |second: bool| {
            if second {
                let _ = timeout(HEDGE, first_has_spoken.notified()).await;
            }
        };
        let mut cluster = pin!(async {
            its_turn(order == Order::LaptopFirst).await;
            let heard = self.ask_cluster(asked, &candidates).await;
            first_has_spoken.notify_one();
            heard
        });
        let mut laptop = pin!(async {
            its_turn(order == Order::ClusterFirst).await;
            let limit = if order == Order::ClusterFirst {
                NOBODY_WITHIN
            } else {
                LAPTOP_WITHIN
            };
            let heard = self.ask_laptop(asked, limit).await;
            first_has_spoken.notify_one();
            heard
        });
        let known_as_laptops = order != Order::ClusterFirst && self.memory().laptops.contains(&asked.name);
        let mut patience = pin!(sleep(if known_as_laptops { LAPTOP_WITHIN } else { PATIENCE }));
        let mut limit = pin!(sleep(if order == Order::ClusterFirst {
            NOBODY_WITHIN
        } else {
            LAPTOP_WITHIN
        }));
        let (mut patient, mut from_cluster, mut from_laptop) = (true, None, None);
        let verdict = loop {
            let (cluster_said, laptop_said) = (
                cluster_said(from_cluster.as_ref()),
                laptop_said(from_laptop.as_ref()),
            );
            if let Some(verdict) = settle(order, cluster_said, laptop_said, patient) {
                break verdict;
            }
            tokio::select! {
                biased;
                heard = &mut laptop, if from_laptop.is_none() => from_laptop = Some(heard),
                heard = &mut cluster, if from_cluster.is_none() => from_cluster = Some(heard),
                () = &mut patience, if patient => patient = false,
                () = &mut limit => {
                    from_cluster.get_or_insert(Err(AskError::TimedOut));
                    from_laptop.get_or_insert(Err(AskError::TimedOut));
                }
            }
        };
        self.by_verdict(
            asked,
            Arc::clone(&candidates),
            order,
            verdict,
            from_cluster,
            from_laptop,
        )
        .await
    }

    async fn by_verdict(
        &self,
        asked: &Asked<'_>,
        candidates: Arc<[Name]>,
        order: Order,
        verdict: Verdict,
        cluster: Option<Result<FromCluster, AskError>>,
        laptop: Option<Result<Answer, AskError>>,
    ) -> Reply {
        let query = &asked.query;
        match (verdict, cluster, laptop) {
            (Verdict::Cluster, Some(Ok(found)), _) => self.hand_out(asked, found, candidates).await,
            (Verdict::Laptop, _, Some(Ok(answer))) => {
                self.remember_as_laptops(&asked.name);
                Reply::passed(query, answer, Answerer::Laptop, candidates)
            }
            (Verdict::NoSuchName, Some(Ok(found)), Some(Ok(_))) if order == Order::ClusterFirst => {
                self.hand_out(asked, found, candidates).await
            }
            // The laptop's own words, as before the session.
            (Verdict::NoSuchName, _, Some(Ok(answer))) => {
                Reply::passed(query, answer, Answerer::Laptop, candidates)
            }
            (Verdict::NoSuchName, Some(Ok(found)), _) => self.hand_out(asked, found, candidates).await,
            (_failure, cluster, laptop) => {
                let errors = [cluster.and_then(Result::err), laptop.and_then(Result::err)];
                Reply::failed(query, errors.into_iter().flatten(), candidates)
            }
        }
    }

    fn remember_as_laptops(&self, name: &Name) {
        let mut memory = self.memory();
        if memory.laptops.len() >= LAPTOP_NAMES {
            memory.laptops.clear();
        }
        memory.laptops.insert(name.clone());
    }

    /// Makes an answer of the cluster usable, remembers it and gives it out.
    async fn hand_out(&self, asked: &Asked<'_>, found: FromCluster, candidates: Arc<[Name]>) -> Reply {
        let addresses = &found.answer.addresses;
        if !addresses.is_empty()
            && timeout(ROUTES_WITHIN, self.inner.asks.before_answer(addresses))
                .await
                .is_err()
        {
            // An address without a route would lead out to wherever the laptop's default route goes.
            return Reply::failed(&asked.query, [AskError::TimedOut], candidates);
        }
        if let Some(lifetime) = found.lifetime
            && found.answer.outcome != Outcome::ServFail
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

    async fn ask_laptop(&self, asked: &Asked<'_>, limit: Duration) -> Result<Answer, AskError> {
        let asking = self.inner.asks.laptop(asked.raw.clone());
        let bytes = timeout(limit, asking).await.map_err(|_| AskError::TimedOut)??;
        Answer::read(bytes.into(), &asked.query)
    }

    /// Asks the cluster, or remembers what it said a moment ago when it keeps silent or fails.
    async fn ask_cluster(
        &self,
        asked: &Asked<'_>,
        candidates: &Arc<[Name]>,
    ) -> Result<FromCluster, AskError> {
        let stale = self.memory().cache.stale(asked.key(), Instant::now()).cloned();
        let flight = self.inner.flights.join(asked.key(), || {
            fly(Arc::clone(&self.inner), asked.raw.clone(), Arc::clone(candidates))
        });
        let limit = if stale.is_some() {
            STALE_AFTER
        } else {
            CLUSTER_WITHIN
        };
        let landed = timeout(limit, flight).await.unwrap_or(Err(AskError::TimedOut));
        let failed = landed
            .as_ref()
            .map_or(true, |(answer, _)| answer.outcome == Outcome::ServFail);
        if failed && let Some(stale) = stale {
            return Ok(FromCluster {
                age: stale.age(Instant::now()),
                answer: stale.answer,
                lifetime: None,
            });
        }
        landed.map(|(answer, lifetime)| FromCluster {
            answer,
            lifetime: Some(lifetime),
            age: Duration::ZERO,
        })
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.inner.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks the cluster for all candidates at once; the first in order that exists is the answer.
async fn fly<A: Asks>(inner: Arc<Inner<A>>, raw: Bytes, candidates: Arc<[Name]>) -> Landed {
    let query = Query::parse(&raw).map_err(|_| AskError::Garbled)?;
    let mut asking: FuturesOrdered<_> = candidates
        .iter()
        .map(|candidate| ask_candidate(&inner.asks, &query, candidate))
        .collect();
    let mut worst: Option<Result<Answer, AskError>> = None;
    while let Some(heard) = asking.next().await {
        worst = Some(match (heard, worst) {
            (Ok(answer), _) if answer.outcome.exists() => return Ok(remembered_for(answer)),
            (_, Some(Err(error))) | (Err(error), _) => Err(error),
            (Ok(failed), Some(Ok(earlier)))
                if earlier.outcome == Outcome::NxDomain && failed.outcome == Outcome::ServFail =>
            {
                Ok(failed)
            }
            (Ok(_), Some(Ok(earlier))) => Ok(earlier),
            (Ok(answer), None) => Ok(answer),
        });
    }
    worst.unwrap_or(Err(AskError::NoServer)).map(remembered_for)
}

fn remembered_for(mut answer: Answer) -> (Arc<Answer>, Duration) {
    let lifetime = answer.limit_ttls();
    (Arc::new(answer), lifetime)
}

async fn ask_candidate<A: Asks>(asks: &A, query: &Query<'_>, candidate: &Name) -> Result<Answer, AskError> {
    let asked = message::in_place_of(query, candidate);
    let bytes = asks.cluster(asked.clone()).await?;
    let onward = Query::parse(&asked).map_err(|_| AskError::Garbled)?;
    if !message::answers(&bytes, &onward) || message::is_truncated(&bytes) {
        return Err(AskError::Garbled);
    }
    if candidate.wire().eq_ignore_ascii_case(query.name) {
        return Answer::read(bytes.into(), query);
    }
    Answer::read(message::rename(&bytes, candidate, query)?, query)
}

fn cluster_said(heard: Option<&Result<FromCluster, AskError>>) -> Said {
    match heard {
        None => Said::Nothing,
        Some(Ok(found)) => said(found.answer.outcome),
        Some(Err(_)) => Said::Failed,
    }
}

fn laptop_said(heard: Option<&Result<Answer, AskError>>) -> Said {
    match heard {
        None => Said::Nothing,
        Some(Ok(answer)) => said(answer.outcome),
        Some(Err(AskError::NoServer)) => Said::NoSuchName,
        Some(Err(AskError::Unreachable | AskError::TimedOut | AskError::Garbled)) => Said::Failed,
    }
}

fn said(outcome: Outcome) -> Said {
    match outcome {
        Outcome::Found | Outcome::NoData => Said::Exists,
        Outcome::NxDomain => Said::NoSuchName,
        Outcome::ServFail | Outcome::TimedOut => Said::Failed,
    }
}

impl Reply {
    fn cluster(query: &Query<'_>, found: &FromCluster, candidates: Arc<[Name]>) -> Self {
        let mut bytes = Vec::new();
        found.answer.write(query, found.age, &mut bytes);
        let answerer = if found.lifetime.is_some() {
            Answerer::Cluster
        } else {
            Answerer::Cache
        };
        Self {
            bytes,
            answerer,
            outcome: found.answer.outcome,
            candidates,
        }
    }

    fn passed(query: &Query<'_>, answer: Answer, answerer: Answerer, candidates: Arc<[Name]>) -> Self {
        let Answer {
            mut bytes, outcome, ..
        } = answer;
        message::address_to(query, &mut bytes);
        Self {
            bytes,
            answerer,
            outcome,
            candidates,
        }
    }

    fn failed(
        query: &Query<'_>,
        errors: impl IntoIterator<Item = AskError>,
        candidates: Arc<[Name]>,
    ) -> Self {
        let timed_out = errors.into_iter().any(|error| error == AskError::TimedOut);
        let outcome = if timed_out {
            Outcome::TimedOut
        } else {
            Outcome::ServFail
        };
        Self {
            bytes: message::empty(query, Rcode::ServFail),
            answerer: Answerer::Nobody,
            outcome,
            candidates,
        }
    }

    fn ours(query: &Query<'_>, rcode: Rcode, outcome: Outcome) -> Self {
        Self {
            bytes: message::empty(query, rcode),
            answerer: Answerer::Us,
            outcome,
            candidates: Arc::new([]),
        }
    }

    fn own(query: &Query<'_>, own: Own) -> Self {
        match own {
            Own::Check if query.kind() == RecordType::A => {
                let bytes = message::address(query, CHECK_ADDRESS);
                Self {
                    bytes,
                    answerer: Answerer::Us,
                    outcome: Outcome::Found,
                    candidates: Arc::new([]),
                }
            }
            Own::Check | Own::Empty => Self::ours(query, Rcode::NoError, Outcome::NoData),
        }
    }
}

#[cfg(test)]
mod tests;
