//! Questions to both sides: the I/O and the timers around [`settle`].

use std::pin::pin;
use std::sync::Arc;

use slipway_control_api::NameOutcome;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::cluster::FromCluster;
use super::reply::Reply;
use super::{Asked, Resolver};
use crate::asks::{Addressee, AskError, Asks};
use crate::event::Answerer;
use crate::limits::{HEDGE, LAPTOP_WITHIN, NOBODY_WITHIN, PATIENCE};
use crate::message::Answer;
use crate::name::Name;
use crate::race::{Heard, LastLabel, Said, Verdict, may_ask_cluster, settle};
use crate::scope::{Order, Rule};

impl<A: Asks> Resolver<A> {
    /// Asks both sides. The side whose answer does not count is asked a moment later, or when the other does not have
    /// the name.
    pub(super) async fn via_either(
        &self,
        asked: &Asked<'_>,
        candidates: Arc<[Name]>,
        order: Order,
        rule: &Rule,
    ) -> Reply {
        let name = &asked.question.name;
        let last_label = if order.heeds_last_label() {
            self.known_last_label(name)
        } else {
            LastLabel::Unknown
        };
        if last_label == LastLabel::Domain {
            return self.via_laptop(asked).await;
        }
        let (limit, addressee) = match (order, self.addressee) {
            // The limit may pass before the program asks its second name server.
            (Order::ClusterFirst, Addressee::Only(0)) => (NOBODY_WITHIN, Addressee::InOrder),
            (Order::ClusterFirst, addressee) => (NOBODY_WITHIN, addressee),
            (Order::Together | Order::LaptopFirst | Order::Searched, addressee) => (LAPTOP_WITHIN, addressee),
        };
        let heard = watch::Sender::new(Heard {
            cluster: Said::Nothing,
            laptop: Said::Nothing,
            last_label,
            patient: true,
        });
        let mut cluster = pin!(async {
            let mut watched = heard.subscribe();
            let allowed = |heard: &Heard| may_ask_cluster(order, heard.laptop, heard.last_label);
            drop(watched.wait_for(allowed).await);
            if order == Order::LaptopFirst {
                let laptop_spoke = watched.wait_for(|heard| heard.laptop != Said::Nothing);
                drop(timeout(HEDGE, laptop_spoke).await);
            }
            self.ask_cluster(asked, &candidates).await
        });
        let mut laptop = pin!(async {
            if order == Order::ClusterFirst {
                let mut watched = heard.subscribe();
                let cluster_spoke = watched.wait_for(|heard| heard.cluster != Said::Nothing);
                drop(timeout(HEDGE, cluster_spoke).await);
            }
            self.ask_laptop(asked, addressee, limit).await
        });
        let mut label = pin!(self.last_label(name));
        // A name that is known to be the laptop's stays so while its name servers are slow.
        let is_laptops = order != Order::ClusterFirst && self.memory().laptops.contains(name);
        let mut patience = pin!(sleep(if is_laptops { LAPTOP_WITHIN } else { PATIENCE }));
        let mut limit = pin!(sleep(limit));
        let (mut from_cluster, mut from_laptop) = (None, None);
        let verdict = loop {
            let now = *heard.borrow();
            if let Some(verdict) = settle(order, now) {
                break verdict;
            }
            tokio::select! {
                biased;
                answer = &mut laptop, if from_laptop.is_none() => {
                    heard.send_modify(|heard| heard.laptop = laptop_said(&answer));
                    from_laptop = Some(answer);
                }
                said = &mut label, if now.last_label == LastLabel::Asked => {
                    heard.send_modify(|heard| heard.last_label = said);
                }
                answer = &mut cluster, if from_cluster.is_none() => {
                    heard.send_modify(|heard| heard.cluster = cluster_said(&answer));
                    from_cluster = Some(answer);
                }
                () = &mut patience, if now.patient => heard.send_modify(|heard| heard.patient = false),
                () = &mut limit => {
                    let cluster = from_cluster.get_or_insert(Err(AskError::TimedOut));
                    let laptop = from_laptop.get_or_insert(Err(AskError::TimedOut));
                    heard.send_modify(|heard| {
                        heard.cluster = cluster_said(cluster);
                        heard.laptop = laptop_said(laptop);
                        if heard.last_label == LastLabel::Asked {
                            heard.last_label = LastLabel::Unknown;
                        }
                    });
                }
            }
        };
        let candidates = Arc::clone(&candidates);
        let query = &asked.query;
        let cluster_answers = match verdict {
            Verdict::Cluster => true,
            // Where the laptop's answer counts, programs get its own bytes, as without a session.
            Verdict::NoSuchName => order == Order::ClusterFirst || !matches!(from_laptop, Some(Ok(_))),
            Verdict::Laptop | Verdict::Failure => false,
        };
        match (verdict, from_cluster, from_laptop) {
            (_, Some(Ok(found)), _) if cluster_answers => {
                self.elders_or_ours(asked, found, candidates, rule).await
            }
            (Verdict::Laptop | Verdict::NoSuchName, _, Some(Ok(answer))) => {
                if verdict == Verdict::Laptop {
                    self.memory().laptops.put(name.clone(), ());
                }
                Reply::passed(query, answer, Answerer::Laptop, candidates)
            }
            (_, cluster, laptop) => {
                let errors = [cluster.and_then(Result::err), laptop.and_then(Result::err)];
                let timed_out = errors.contains(&Some(AskError::TimedOut));
                let outcome = if timed_out {
                    NameOutcome::TimedOut
                } else {
                    NameOutcome::Failed
                };
                Reply::failed(query, outcome, candidates)
            }
        }
    }
}

fn cluster_said(answer: &Result<FromCluster, AskError>) -> Said {
    match answer {
        Ok(found) => said(found.answer.outcome),
        Err(_) => Said::Failed,
    }
}

fn laptop_said(answer: &Result<Answer, AskError>) -> Said {
    match answer {
        Ok(answer) => said(answer.outcome),
        Err(AskError::NoServer) => Said::NoSuchName,
        Err(AskError::Unreachable | AskError::TimedOut | AskError::Garbled) => Said::Failed,
    }
}

fn said(outcome: NameOutcome) -> Said {
    match outcome {
        NameOutcome::Found | NameOutcome::NoData => Said::Exists,
        NameOutcome::NotFound => Said::NoSuchName,
        NameOutcome::Failed | NameOutcome::TimedOut | NameOutcome::Withheld => Said::Failed,
    }
}
