//! Elders: sessions that connected earlier, and whose answer counts for a name that several could answer.

use std::sync::Arc;

use tokio::time::timeout;

use super::cluster::FromCluster;
use super::reply::Reply;
use super::{Asked, Resolver};
use crate::asks::Asks;
use crate::event::Answerer;
use crate::limits::NEIGHBORS_WITHIN;
use crate::message::Answer;
use crate::name::Name;
use crate::scope::Rule;

impl<A: Asks> Resolver<A> {
    /// Returns the answer of an elder if one has the name, otherwise this session's. Elders are asked only for names
    /// that this session's cluster has.
    pub(super) async fn elders_or_ours(
        &self,
        asked: &Asked<'_>,
        ours: FromCluster,
        candidates: Arc<[Name]>,
        rule: &Rule,
    ) -> Reply {
        if ours.answer.outcome.exists()
            && let Ok(Some(bytes)) = timeout(NEIGHBORS_WITHIN, self.asks().elders(asked.raw.clone())).await
            && let Ok(answer) = Answer::read(bytes.into(), &asked.query)
            && answer.outcome.exists()
        {
            return Reply::passed(&asked.query, answer, Answerer::Neighbor, candidates);
        }
        self.hand_out(asked, ours, candidates, rule).await
    }
}
