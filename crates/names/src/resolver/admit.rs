//! Admission: which addresses of cluster answers programs get.

use std::sync::Arc;

use slipway_control_api::NameOutcome;
use tokio::time::timeout;

use super::cluster::FromCluster;
use super::{Asked, Resolver};
use crate::asks::{Admission, Asks, NamedBy};
use crate::limits::ROUTES_WITHIN;
use crate::message::Answer;
use crate::scope::Rule;

impl<A: Asks> Resolver<A> {
    /// Removes the addresses that programs must not get. An answer that has no others is a failure: packets to an
    /// address without a route would follow the laptop's default route.
    pub(super) async fn admit(
        &self,
        asked: &Asked<'_>,
        found: FromCluster,
        rule: &Rule,
    ) -> Result<FromCluster, NameOutcome> {
        let answer = &found.answer;
        let mut kept = Vec::new();
        if !answer.addresses.is_empty() {
            let named_by = self.named_by(asked, answer, rule);
            let asking = self.inner.asks.admit(&answer.addresses, named_by);
            let admissions = timeout(ROUTES_WITHIN, asking)
                .await
                .map_err(|_| NameOutcome::TimedOut)?;
            let of = |wanted| {
                let decided = answer.addresses.iter().zip(&admissions);
                decided.filter_map(move |(address, admission)| (*admission == wanted).then_some(*address))
            };
            kept.extend(of(Admission::HandOut));
            if kept.is_empty() && of(Admission::Unusable).count() < answer.addresses.len() {
                return Err(NameOutcome::Withheld);
            }
        }
        if answer.has_only(&kept) {
            return Ok(found);
        }
        let answer = answer
            .with_addresses(&asked.query, &kept)
            .map_err(|_| NameOutcome::Failed)?;
        Ok(FromCluster {
            answer: Arc::new(answer),
            ..found
        })
    }

    /// Origin of the name behind the addresses of an answer.
    fn named_by(&self, asked: &Asked<'_>, answer: &Answer, rule: &Rule) -> NamedBy {
        let cluster = &self.scope().cluster_domain;
        match &answer.alias_of {
            _ if *rule == Rule::User => NamedBy::User(asked.question.name.clone()),
            Some(end) if !end.is_within(cluster) => NamedBy::Alias,
            Some(_) | None => NamedBy::Cluster,
        }
    }
}
