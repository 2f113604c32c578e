//! Questions to the cluster, each in a flight that all programs share that ask the same.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use slipway_control_api::NameOutcome;
use tokio::time::{Instant, timeout};

use super::{Asked, Inner, Resolver};
use crate::asks::{AskError, Asks};
use crate::flight::Landed;
use crate::limits::{CLUSTER_WITHIN, STALE_AFTER};
use crate::message::{self, Answer};
use crate::name::Name;
use crate::question::Query;

/// Answer of the cluster, or of the cache.
pub(super) struct FromCluster {
    pub(super) answer: Arc<Answer>,
    /// The time for which a new answer may be cached; `None` if it comes from the cache.
    pub(super) lifetime: Option<Duration>,
    /// The time since it was cached; zero if it is new.
    pub(super) age: Duration,
}

impl<A: Asks> Resolver<A> {
    /// Asks the cluster. If it fails or stays silent, the answer is one from the cache that expired recently, if any.
    pub(super) async fn ask_cluster(
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
            .map_or(true, |(answer, _)| answer.outcome == NameOutcome::Failed);
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
}

/// Asks the cluster for all candidates at once. The answer is that of the first in order that exists.
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
                if earlier.outcome == NameOutcome::NotFound && failed.outcome == NameOutcome::Failed =>
            {
                Ok(failed)
            }
            (Ok(_), Some(Ok(earlier))) => Ok(earlier),
            (Ok(answer), None) => Ok(answer),
        });
    }
    worst.unwrap_or(Err(AskError::NoServer)).map(remembered_for)
}

async fn ask_candidate<A: Asks>(asks: &A, query: &Query<'_>, candidate: &Name) -> Result<Answer, AskError> {
    let inward = candidate
        .reverse_address()
        .map(|address| Name::of_address(asks.inward(address)));
    let candidate = inward.as_ref().unwrap_or(candidate);
    let asked = message::in_place_of(query, candidate);
    let bytes = asks.cluster(asked.clone()).await?;
    let onward = Query::parse(&asked).map_err(|_| AskError::Garbled)?;
    if !message::answers(&bytes, &onward) || message::is_truncated(&bytes) {
        return Err(AskError::Garbled);
    }
    let bytes: Vec<u8> = if candidate.wire().eq_ignore_ascii_case(query.name) {
        bytes.into()
    } else {
        message::rename(&bytes, candidate, query)?
    };
    let mut answer = Answer::read(bytes, query)?;
    answer.replace_addresses(|address| asks.outward(address));
    Ok(answer)
}

fn remembered_for(mut answer: Answer) -> (Arc<Answer>, Duration) {
    let lifetime = answer.limit_ttls();
    (Arc::new(answer), lifetime)
}
