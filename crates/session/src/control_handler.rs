//! Handler of requests that reach a running session through its control socket.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use slipway_control::Handler;
use slipway_control_api::{Answerer, Backing, Changed, Explanation, Found, NameFacts, NameVerdict, Problem};
use slipway_method::Explainer;
use slipway_names::Name;
use slipway_profile::Change;
use tokio_util::sync::CancellationToken;

use crate::changes::{Changes, not_connected};
use crate::cluster::Cluster;

/// Handler of control requests. Clones share their state.
#[derive(Clone, Default)]
pub struct ControlHandler {
    stop: CancellationToken,
    sources: Arc<Mutex<Option<Sources>>>,
}

/// Parts of a session that serve requests while programs are captured.
#[derive(Clone)]
pub(crate) struct Sources {
    pub(crate) names: Arc<dyn Explainer>,
    pub(crate) backings: Arc<dyn Backings>,
    pub(crate) changes: Arc<Changes>,
}

/// Reader of what stands behind a name in the cluster.
pub(crate) trait Backings: Send + Sync {
    fn backing<'a>(&'a self, facts: &'a NameFacts) -> BoxFuture<'a, Option<Backing>>;
}

impl<C: Cluster> Backings for C {
    fn backing<'a>(&'a self, facts: &'a NameFacts) -> BoxFuture<'a, Option<Backing>> {
        Cluster::backing(self, facts).boxed()
    }
}

impl ControlHandler {
    /// Returns the token that is cancelled when the session is asked to end.
    pub fn stop(&self) -> CancellationToken {
        self.stop.clone()
    }

    fn sources(&self) -> Option<Sources> {
        let sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        sources.clone()
    }

    pub(crate) fn set_sources(&self, sources: Option<Sources>) {
        *self.sources.lock().unwrap_or_else(PoisonError::into_inner) = sources;
    }
}

impl Handler for ControlHandler {
    fn disconnect(&self) {
        self.stop.cancel();
    }

    async fn answer(&self, query: Vec<u8>) -> Option<Vec<u8>> {
        let answer = self.sources()?.names.answer_neighbor(query.into()).await;
        answer.map(Vec::from)
    }

    async fn change(&self, change: Change) -> Result<Changed, Problem> {
        let changes = self.sources().ok_or_else(not_connected)?.changes;
        to_its_end(async move { changes.change(&change).await }).await
    }

    async fn saved(&self, number: Option<u32>, profile: Change) -> Result<Changed, Problem> {
        let changes = self.sources().ok_or_else(not_connected)?.changes;
        changes.saved(number, profile).await
    }

    async fn undo(&self, number: Option<u32>) -> Result<Changed, Problem> {
        let changes = self.sources().ok_or_else(not_connected)?.changes;
        to_its_end(async move { changes.undo(number).await }).await
    }

    async fn explain(&self, name: &str) -> Explanation {
        let unanswered = |found| Explanation {
            name: name.to_owned(),
            answered_by: Answerer::Nobody,
            answer: Vec::new(),
            programs: None,
            port: None,
            backing: None,
            found,
        };
        let Ok(parsed) = name.parse::<Name>() else {
            return unanswered(Found::NotAName);
        };
        let Some(Sources { names, backings, .. }) = self.sources() else {
            return unanswered(Found::NotConnected);
        };
        // A trailing dot disables search domains (resolv.conf(5)).
        let explanation = if name.ends_with('.') {
            names.explain_whole(&parsed).await
        } else {
            names.explain(&parsed).await
        };
        let mut explanation = explanation.data(name);
        if let Found::Name(facts) = &explanation.found
            && may_be_the_clusters(facts, explanation.answered_by)
        {
            explanation.backing = backings.backing(facts).await.map(Box::new);
        }
        explanation
    }
}

/// Runs to its end what must not stop half-way, even if nobody waits for it any more.
async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, Problem>> + Send + 'static,
) -> Result<T, Problem> {
    tokio::spawn(work).await.unwrap_or_else(|_| Err(not_connected()))
}

/// Whether what stands behind a name in the cluster decides whether it works: not where the laptop answers.
fn may_be_the_clusters(facts: &NameFacts, answered_by: Answerer) -> bool {
    match facts.verdict {
        NameVerdict::Answered | NameVerdict::NoAddress => answered_by == Answerer::Cluster,
        NameVerdict::Nowhere | NameVerdict::ClusterSilent | NameVerdict::Withheld => true,
        NameVerdict::OnlyInCluster
        | NameVerdict::HiddenByLaptop
        | NameVerdict::LaptopSilent
        | NameVerdict::OtherSession
        | NameVerdict::Never => false,
    }
}
