//! What people ask of a running session.

use std::sync::{Arc, Mutex, PoisonError};

use slipway_control::{Answerer, Explanation, Handler};
use slipway_names::{Cause, Name, Outcome};
use slipway_vpn_tcp::Explainer;
use tokio_util::sync::CancellationToken;

/// Takes what comes over the session's socket. Clones are the same desk.
#[derive(Clone, Default)]
pub struct Desk {
    stop: CancellationToken,
    explainer: Arc<Mutex<Option<Explainer>>>,
}

impl Desk {
    /// Cancelled when the session is to end.
    pub fn stop(&self) -> CancellationToken {
        self.stop.clone()
    }

    pub(crate) fn set_explainer(&self, explainer: Option<Explainer>) {
        *self.explainer.lock().unwrap_or_else(PoisonError::into_inner) = explainer;
    }
}

impl Handler for Desk {
    fn disconnect(&self) {
        self.stop.cancel();
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
        let explainer = self
            .explainer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        match explainer {
            Some(explainer) => in_words(name, &explainer.explain(parsed).await),
            None => unanswered("The session is not connected, so only the laptop's own names answer."),
        }
    }
}

fn in_words(name: &str, found: &slipway_names::Explanation) -> Explanation {
    let namespace = &found.namespace;
    let meant = found
        .near
        .first()
        .map(|near| format!(" Perhaps `{near}` was meant."));
    let (cause, remedy) = match found.cause {
        Cause::Answered => (format!("`{name}` answers as it should."), None),
        Cause::NoAddress => (format!("`{name}` exists and has no address."), None),
        Cause::Nowhere => (
            format!("`{name}` was not found in namespace {namespace}, nor by the laptop's name servers."),
            meant,
        ),
        Cause::OnlyInCluster => (
            format!("`{name}` is known to the cluster's DNS but not to your laptop's, whose name it is."),
            Some(format!(
                "Send it through the cluster: connect with `--also-proxy {name}`."
            )),
        ),
        Cause::HiddenByLaptop => (
            format!("`{name}` exists on both sides, and the laptop's counts."),
            Some("Use the full name, ending in `.svc`, for the cluster's.".to_owned()),
        ),
        Cause::ClusterSilent => (
            "The cluster's DNS does not answer.".to_owned(),
            Some("See `slipway status` for whether the session is reconnecting.".to_owned()),
        ),
        Cause::LaptopSilent => (
            "The laptop's own name servers do not answer.".to_owned(),
            Some("Check the laptop's network; Slipway only passes these names on.".to_owned()),
        ),
        Cause::OtherSession => ("It belongs to another session.".to_owned(), None),
        Cause::Never => ("It is a name that never exists in DNS.".to_owned(), None),
    };
    let side = |who: &str, finding: &Option<slipway_names::Finding>| {
        finding.as_ref().map(|finding| {
            let said = match finding.outcome {
                Outcome::Found => "has it",
                Outcome::NoData => "knows it without an address",
                Outcome::NxDomain => "does not know it",
                Outcome::ServFail => "failed",
                Outcome::TimedOut => "did not answer in time",
            };
            format!(
                "{who} {said} (asked for {}, {} ms)",
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
        cause,
        remedy: remedy.map(|text| text.trim().to_owned()),
        steps: [
            side("The cluster", &found.cluster),
            side("The laptop", &found.laptop),
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
