//! Asking both sides: the shell around [`settle`].

use std::pin::pin;
use std::sync::Arc;

use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::cluster::FromCluster;
use super::reply::Reply;
use super::{Asked, Resolver};
use crate::asks::{AskError, Asks};
use crate::event::{Answerer, Outcome};
use crate::limits::{HEDGE, LAPTOP_WITHIN, NOBODY_WITHIN, PATIENCE};
use crate::message::Answer;
use crate::name::Name;
use crate::race::{Said, Verdict, settle};
use crate::scope::Order;

/// How many names we remember as the laptop's, so that a slow moment of its name servers gives none of them away.
const LAPTOP_NAMES: usize = 1024;

impl<A: Asks> Resolver<A> {
    /// Asks both sides, the one that counts less a little later or when the other has not got the name.
    pub(super) async fn via_either(&self, asked: &Asked<'_>, candidates: Arc<[Name]>, order: Order) -> Reply {
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
        let known_as_laptops =
            order != Order::ClusterFirst && self.memory().laptops.contains(&asked.question.name);
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
                self.remember_as_laptops(&asked.question.name);
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
