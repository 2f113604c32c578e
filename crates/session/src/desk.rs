//! What people ask of a running session.

use std::sync::{Arc, Mutex, PoisonError};

use slipway_control::Handler;
use slipway_control_api::{Answerer, Explanation};
use slipway_method::Explainer;
use slipway_names::{Name, Outcome};
use tokio_util::sync::CancellationToken;

/// Takes what comes over the session's socket. Clones are the same desk.
#[derive(Clone, Default)]
pub struct Desk {
    stop: CancellationToken,
    explainer: Arc<Mutex<Option<Arc<dyn Explainer>>>>,
}

impl Desk {
    /// Cancelled when the session is to end.
    pub fn stop(&self) -> CancellationToken {
        self.stop.clone()
    }

    fn explainer(&self) -> Option<Arc<dyn Explainer>> {
        let explainer = self.explainer.lock().unwrap_or_else(PoisonError::into_inner);
        explainer.clone()
    }

    pub(crate) fn set_explainer(&self, explainer: Option<Arc<dyn Explainer>>) {
        *self.explainer.lock().unwrap_or_else(PoisonError::into_inner) = explainer;
    }
}

impl Handler for Desk {
    fn disconnect(&self) {
        self.stop.cancel();
    }

    async fn answer(&self, query: Vec<u8>) -> Option<Vec<u8>> {
        let answer = self.explainer()?.answer_neighbour(query.into()).await;
        answer.map(Vec::from)
    }

    async fn explain(&self, name: &str) -> Explanation {
        let unanswered = |cause: &str| Explanation {
            name: name.to_owned(),
            answered_by: Answerer::Nobody,
            answer: Vec::new(),
            cause: cause.to_owned(),
            remedy: None,
            steps: Vec::new(),
        };
        let Ok(parsed) = name.parse::<Name>() else {
            return unanswered("It is not a name that DNS can hold.");
        };
        let Some(explainer) = self.explainer() else {
            return unanswered("The session is not connected, so only the laptop's own names answer.");
        };
        // A dot at the end keeps search domains out (resolv.conf(5)).
        let found = if name.ends_with('.') {
            explainer.explain_whole(&parsed).await
        } else {
            explainer.explain(&parsed).await
        };
        in_words(name, &found)
    }
}

fn in_words(name: &str, found: &slipway_names::Explanation) -> Explanation {
    let said_by = |who: &str, finding: &Option<slipway_names::Finding>| {
        finding.as_ref().map(|finding| {
            let said = match finding.outcome {
                Outcome::Found => "found",
                Outcome::NoData => "found, without an address",
                Outcome::NxDomain => "not found",
                Outcome::ServFail => "failed",
                Outcome::TimedOut => "did not answer in time",
                Outcome::Withheld => "found, at an address that programs do not get",
            };
            format!(
                "{who}: `{}` {said} ({} ms)",
                finding.asked,
                finding.took.as_millis()
            )
        })
    };
    let answering = match found.answerer {
        slipway_names::Answerer::Cluster | slipway_names::Answerer::Cache => found.cluster.as_ref(),
        slipway_names::Answerer::Laptop => found.laptop.as_ref(),
        slipway_names::Answerer::Neighbour
        | slipway_names::Answerer::Us
        | slipway_names::Answerer::Nobody => None,
    };
    Explanation {
        name: name.to_owned(),
        answered_by: answerer(found.answerer),
        answer: answering.map_or_else(Vec::new, |finding| {
            finding.addresses.iter().map(ToString::to_string).collect()
        }),
        cause: found.why(),
        remedy: found.remedy(),
        steps: [
            said_by("The cluster", &found.cluster),
            said_by("The laptop's name servers", &found.laptop),
        ]
        .into_iter()
        .flatten()
        .collect(),
    }
}

pub(crate) fn answerer(answerer: slipway_names::Answerer) -> Answerer {
    match answerer {
        slipway_names::Answerer::Cluster
        | slipway_names::Answerer::Cache
        | slipway_names::Answerer::Neighbour
        | slipway_names::Answerer::Us => Answerer::Cluster,
        slipway_names::Answerer::Laptop => Answerer::Laptop,
        slipway_names::Answerer::Nobody => Answerer::Nobody,
    }
}
