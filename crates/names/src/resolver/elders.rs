//! Older sessions: a name that several could answer is theirs.

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
    /// The answer of an older session to a name that our cluster has; ours where none of them has it.
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
