//! Explanations of names: both sides are asked now, without the cache, and their answers are compared.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::time::{Instant, timeout};

use crate::asks::{Addressee, AskError, Asks};
use crate::event::Answerer;
use crate::message::{self, Answer};
use crate::name::{Label, Name};
use crate::question::{Query, Question, RecordType};
use crate::race::{Heard, LastLabel, Said, Verdict, settle};
use crate::resolver::Resolver;
use crate::scope::{Decision, Order, RefusedQuestion, Rule, Ruling};
use slipway_control_api::{NameOutcome, NameVerdict};

mod data;

/// Limit per side for an explanation: longer than for an answer, to tell a slow side from a silent one.
pub const EXPLAIN_WITHIN: Duration = Duration::from_secs(3);

/// Bound of other namespaces in which a name that exists nowhere is looked for.
const NEAR: usize = 64;

/// Current answer of one side about a name.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Whether the side has the name, does not have it, or failed.
    pub outcome: NameOutcome,
    /// The name under which it was found or last asked.
    pub asked: Name,
    /// The addresses it gave, IPv4 first.
    pub addresses: Vec<IpAddr>,
    /// Time until the answer.
    pub took: Duration,
}

/// Search domain of the laptop by which a name is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Searched {
    /// The name that a program gives to its resolver.
    pub given: Name,
    /// The search domain that the laptop's resolver appends.
    pub domain: Name,
}

/// Explanation of a name: whose it is, who answers, why it fails, and which name was perhaps meant.
/// [`data`](Explanation::data) is its form for other programs.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The name that was asked about, with a search domain appended if programs get the answer to that name.
    pub name: Name,
    /// The search domain that was appended, if any.
    pub searched: Option<Searched>,
    /// The session's namespace.
    pub namespace: Label,
    /// The rule that decided whose name it is.
    pub rule: Rule,
    /// The full names that it can mean in the cluster, in order.
    pub candidates: Vec<Name>,
    /// The cluster's answer now; `None` if it was not or could not be asked.
    pub cluster: Option<Finding>,
    /// The answer of the laptop's name servers now; `None` if they were not or could not be asked.
    pub laptop: Option<Finding>,
    /// The source of the answer that programs get.
    pub answerer: Answerer,
    /// The reason why programs get that answer, or none.
    pub verdict: NameVerdict,
    /// A service of the same name in another namespace, which was perhaps meant, if the name exists nowhere.
    pub near: Option<Name>,
    /// The reason why programs do not get its addresses, in a sentence without a full stop.
    pub withheld: Option<String>,
}

/// Side whose answer counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Counts {
    Cluster,
    Laptop,
    Either(Order),
}

/// Side that is asked.
#[derive(Clone, Copy)]
enum Side {
    Cluster,
    Laptop,
}

impl Explanation {
    /// Whether programs get an answer that the name exists, even without an address.
    fn exists(&self) -> bool {
        match self.verdict {
            NameVerdict::Answered | NameVerdict::NoAddress | NameVerdict::HiddenByLaptop => true,
            NameVerdict::Nowhere
            | NameVerdict::OnlyInCluster
            | NameVerdict::ClusterSilent
            | NameVerdict::LaptopSilent
            | NameVerdict::OtherSession
            | NameVerdict::Never
            | NameVerdict::Withheld => false,
        }
    }

    /// Whether the cluster answers both, under the same full name.
    fn is_same_place(&self, other: &Self) -> bool {
        let place = |explained: &Self| {
            let found = explained.cluster.as_ref()?;
            (explained.answerer == Answerer::Cluster && found.outcome.exists()).then(|| found.asked.clone())
        };
        place(self).is_some() && place(self) == place(other)
    }
}

impl<A: Asks> Resolver<A> {
    /// Explains `name` as programs get it: with each of the laptop's search domains too, of which the first that exists
    /// counts. Asks both sides, gives out no address and caches no answer. Takes twice [`EXPLAIN_WITHIN`] at most.
    pub async fn explain(&self, name: &Name) -> Explanation {
        let scope = self.scope();
        let asked = scope.laptop_search.asked_for(name);
        let explained = asked.iter().map(|(asked, _domain)| self.explain_one(asked));
        let mut explained = join_all(explained).await;
        // The name without a search domain is always among them.
        let as_it_is = asked
            .iter()
            .position(|(_asked, domain)| domain.is_none())
            .unwrap_or_default();
        let first = explained.iter().position(Explanation::exists);
        // Where both lead to the same name in the cluster, the search domain is left out.
        let counts = first
            .filter(|first| !explained[*first].is_same_place(&explained[as_it_is]))
            .unwrap_or(as_it_is);
        let searched = asked[counts].1.map(|domain| Searched {
            given: name.clone(),
            domain: domain.clone(),
        });
        self.with_advice(Explanation {
            searched,
            ..explained.swap_remove(counts)
        })
        .await
    }

    /// Explains `name` without search domains, otherwise as [`explain`](Self::explain).
    pub async fn explain_whole(&self, name: &Name) -> Explanation {
        self.with_advice(self.explain_one(name).await).await
    }

    /// Asks the cluster's DNS for `name` as it is, without the cache; `None` if there is no server to ask. Takes
    /// [`EXPLAIN_WITHIN`] at most.
    pub async fn in_cluster(&self, name: &Name) -> Option<Finding> {
        self.look(Side::Cluster, std::slice::from_ref(name), kinds(name))
            .await
    }

    /// Adds the name that was perhaps meant, if the explained one exists nowhere.
    async fn with_advice(&self, explained: Explanation) -> Explanation {
        let near = if explained.verdict == NameVerdict::Nowhere {
            self.near(&explained.name).await
        } else {
            None
        };
        Explanation { near, ..explained }
    }

    /// Explains one name as it is, without the name that was perhaps meant.
    async fn explain_one(&self, name: &Name) -> Explanation {
        let scope = self.scope();
        let namespace = scope.namespace.clone();
        let kinds = kinds(name);
        let Ruling { rule, decision } = scope.classify(&Question::new(name.clone(), kinds[0]));
        let known = |answerer, verdict| Explanation {
            name: name.clone(),
            searched: None,
            namespace: namespace.clone(),
            rule: rule.clone(),
            candidates: Vec::new(),
            cluster: None,
            laptop: None,
            answerer,
            verdict,
            near: None,
            withheld: None,
        };
        let (counts, candidates) = match decision {
            Decision::Us(_) => return known(Answerer::Us, NameVerdict::Answered),
            Decision::Refuse(RefusedQuestion::NoSuchName) if rule == Rule::OtherProfile => {
                return known(Answerer::Nobody, NameVerdict::OtherSession);
            }
            Decision::Refuse(RefusedQuestion::NoSuchName) if rule == Rule::Reserved => {
                return known(Answerer::Nobody, NameVerdict::Nowhere);
            }
            Decision::Refuse(RefusedQuestion::NoSuchName | RefusedQuestion::Transfer) => {
                return known(Answerer::Us, NameVerdict::Never);
            }
            Decision::Laptop => (Counts::Laptop, Vec::new()),
            Decision::Cluster { candidates } => (Counts::Cluster, candidates),
            Decision::Both { candidates, order } => (Counts::Either(order), candidates),
        };
        let as_it_is = std::slice::from_ref(name);
        let in_cluster = if candidates.is_empty() {
            as_it_is
        } else {
            &candidates
        };
        let ask_laptop = counts != Counts::Cluster || rule == Rule::User;
        let on_laptop = if ask_laptop { as_it_is } else { &[] };
        let last_label = async {
            match counts {
                Counts::Either(order) if order.heeds_last_label() => {
                    let asking = timeout(EXPLAIN_WITHIN, self.last_label(name));
                    asking.await.unwrap_or(LastLabel::Unknown)
                }
                Counts::Either(_) | Counts::Cluster | Counts::Laptop => LastLabel::Unknown,
            }
        };
        let (cluster, laptop, last_label) = tokio::join!(
            self.look(Side::Cluster, in_cluster, kinds),
            self.look(Side::Laptop, on_laptop, kinds),
            last_label,
        );
        let (mut answerer, mut verdict) = judge(counts, cluster.as_ref(), laptop.as_ref(), last_label);
        let mut withheld = None;
        if answerer == Answerer::Cluster && verdict == NameVerdict::Answered {
            withheld = self.why_withheld(cluster.as_ref());
        }
        if withheld.is_some() {
            (answerer, verdict) = (Answerer::Nobody, NameVerdict::Withheld);
        }
        Explanation {
            candidates,
            cluster,
            laptop,
            withheld,
            ..known(answerer, verdict)
        }
    }

    /// Returns why programs get none of the cluster's addresses; `None` if they get at least one.
    fn why_withheld(&self, cluster: Option<&Finding>) -> Option<String> {
        let addresses = cluster.map(|finding| &finding.addresses)?;
        let mut reasons = addresses.iter().map(|address| self.asks().why_withheld(*address));
        let first = reasons.next()??;
        reasons.all(|reason| reason.is_some()).then_some(first)
    }

    /// Looks for a service of that name in other namespaces.
    async fn near(&self, name: &Name) -> Option<Name> {
        let elsewhere: Vec<Name> = self.scope().elsewhere(name).take(NEAR).collect();
        let found = self.look(Side::Cluster, &elsewhere, kinds(name)).await?;
        found.outcome.exists().then_some(found.asked)
    }

    /// Asks a side for all `names` and returns the answer of the lowest [`rank`]; `None` if there is no server to ask.
    async fn look(&self, side: Side, names: &[Name], kinds: &[RecordType]) -> Option<Finding> {
        let start = Instant::now();
        let found = join_all(names.iter().map(async |name| {
            let heard = join_all(kinds.iter().map(|kind| self.look_up(side, name, *kind))).await;
            (name, heard)
        }));
        let found = timeout(EXPLAIN_WITHIN, found).await;
        let took = start.elapsed();
        let timed_out = || {
            Some(Finding {
                outcome: NameOutcome::TimedOut,
                asked: names.first()?.clone(),
                addresses: Vec::new(),
                took,
            })
        };
        let Ok(found) = found else { return timed_out() };
        let mut findings = found.into_iter().filter_map(|(name, heard)| {
            let mut addresses: Vec<IpAddr> = heard
                .iter()
                .flatten()
                .flat_map(|answer| answer.addresses.clone())
                .collect();
            addresses.sort_unstable();
            addresses.dedup();
            let outcome = heard
                .iter()
                .filter_map(outcome_of)
                .min_by_key(|outcome| rank(*outcome))?;
            Some(Finding {
                outcome,
                asked: name.clone(),
                addresses,
                took,
            })
        });
        // Of equal answers the first counts, because the likeliest name comes first.
        let first = findings.next()?;
        Some(findings.fold(first, |best, next| {
            if rank(next.outcome) < rank(best.outcome) {
                next
            } else {
                best
            }
        }))
    }

    async fn look_up(&self, side: Side, name: &Name, kind: RecordType) -> Result<Answer, AskError> {
        let bytes: Bytes = message::query(name, kind).into();
        let answer = match side {
            Side::Cluster => self.asks().cluster(bytes.clone()).await?,
            Side::Laptop => self.asks().laptop(bytes.clone(), Addressee::InOrder).await?,
        };
        Answer::read(
            answer.into(),
            &Query::parse(&bytes).map_err(|_| AskError::Garbled)?,
        )
    }
}

/// Record types that show whether a name is usable.
fn kinds(name: &Name) -> &'static [RecordType] {
    if name.reverse_address().is_some() {
        &[RecordType::PTR]
    } else if name.labels().next().is_some_and(|label| label.starts_with(b"_")) {
        &[RecordType::SRV]
    } else {
        &[RecordType::A, RecordType::AAAA]
    }
}

fn outcome_of(heard: &Result<Answer, AskError>) -> Option<NameOutcome> {
    match heard {
        Ok(answer) => Some(answer.outcome),
        Err(AskError::NoServer) => None,
        Err(AskError::TimedOut) => Some(NameOutcome::TimedOut),
        Err(AskError::Unreachable | AskError::Garbled) => Some(NameOutcome::Failed),
    }
}

/// Rank of an outcome: the more it says about a name, the lower.
const fn rank(outcome: NameOutcome) -> u8 {
    match outcome {
        NameOutcome::Found => 0,
        NameOutcome::NoData => 1,
        NameOutcome::Failed => 2,
        NameOutcome::TimedOut => 3,
        NameOutcome::NotFound => 4,
        // Only an answer to a program is withheld.
        NameOutcome::Withheld => 5,
    }
}

fn said(finding: Option<&Finding>) -> Said {
    match finding.map(|finding| finding.outcome) {
        Some(NameOutcome::Found | NameOutcome::NoData) => Said::Exists,
        None | Some(NameOutcome::NotFound) => Said::NoSuchName,
        Some(NameOutcome::Failed | NameOutcome::TimedOut | NameOutcome::Withheld) => Said::Failed,
    }
}

/// Decides who answers programs, and why.
fn judge(
    counts: Counts,
    cluster: Option<&Finding>,
    laptop: Option<&Finding>,
    last_label: LastLabel,
) -> (Answerer, NameVerdict) {
    let (cluster_said, laptop_said) = (said(cluster), said(laptop));
    let exists = |finding: Option<&Finding>| match finding.map(|finding| finding.outcome) {
        Some(NameOutcome::NoData) => NameVerdict::NoAddress,
        None
        | Some(
            NameOutcome::Found
            | NameOutcome::NotFound
            | NameOutcome::Failed
            | NameOutcome::TimedOut
            | NameOutcome::Withheld,
        ) => NameVerdict::Answered,
    };
    let (order, cluster_counts, laptop_counts) = match counts {
        Counts::Cluster => (Order::ClusterFirst, cluster_said, Said::NoSuchName),
        Counts::Laptop => (Order::LaptopFirst, Said::NoSuchName, laptop_said),
        Counts::Either(order) => (order, cluster_said, laptop_said),
    };
    let heard = Heard {
        cluster: cluster_counts,
        laptop: laptop_counts,
        last_label,
        patient: false,
    };
    let verdict = settle(order, heard);
    match verdict {
        Some(Verdict::Cluster) => (Answerer::Cluster, exists(cluster)),
        Some(Verdict::Laptop) if counts != Counts::Laptop && cluster_said == Said::Exists => {
            (Answerer::Laptop, NameVerdict::HiddenByLaptop)
        }
        Some(Verdict::Laptop) => (Answerer::Laptop, exists(laptop)),
        Some(Verdict::NoSuchName) if cluster_said == Said::Exists => {
            (Answerer::Laptop, NameVerdict::OnlyInCluster)
        }
        Some(Verdict::NoSuchName) => (Answerer::Nobody, NameVerdict::Nowhere),
        Some(Verdict::Failure) | None if counts != Counts::Laptop && cluster_said == Said::Failed => {
            (Answerer::Nobody, NameVerdict::ClusterSilent)
        }
        Some(Verdict::Failure) | None => (Answerer::Nobody, NameVerdict::LaptopSilent),
    }
}

#[cfg(test)]
mod tests;
