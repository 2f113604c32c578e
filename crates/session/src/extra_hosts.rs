//! Check of the extra hosts (`also-proxy`) with the cluster's DNS.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::StreamExt;
use futures_util::stream;
use slipway_control::ProblemSource;
use slipway_control_api::{Action, HostAddresses, Problem};
use slipway_method::Explainer;
use slipway_profile::{AlsoProxy, Extras};
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;

/// Maximum number of hosts about which the cluster is asked at a time.
const AT_ONCE: usize = 8;

/// Check of all extra hosts of a session. Its problem names those that the cluster's DNS does not know.
pub(crate) struct HostsCheck {
    explainer: Arc<dyn Explainer>,
    problems: Arc<ProblemSource>,
    /// The last check. Another one ends it.
    running: Mutex<Option<AbortOnDropHandle<()>>>,
}

/// Hosts as the cluster's DNS knows them. Those about which it gave no answer are in neither list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hosts {
    pub(crate) known: Vec<HostAddresses>,
    pub(crate) unknown: Vec<String>,
}

impl HostsCheck {
    pub(crate) fn new(explainer: Arc<dyn Explainer>, problems: ProblemSource) -> Self {
        Self {
            explainer,
            problems: Arc::new(problems),
            running: Mutex::default(),
        }
    }

    /// Begins to ask for the hosts of `extras`. The problem is published when the answers are there, whether or not the
    /// receiver still waits.
    pub(crate) fn begin(&self, extras: &Extras) -> oneshot::Receiver<Hosts> {
        let hosts: Vec<String> = extras.also_proxy.iter().filter_map(host_of).collect();
        let (explainer, problems) = (self.explainer.clone(), self.problems.clone());
        let (answer, answered) = oneshot::channel();
        let asking = tokio::spawn(async move {
            let hosts = ask(hosts, &*explainer).await;
            problems.set(unknown(&hosts.unknown));
            // Fails if nobody waits any more.
            let _ = answer.send(hosts);
        });
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        *running = Some(AbortOnDropHandle::new(asking));
        answered
    }
}

fn host_of(extra: &AlsoProxy) -> Option<String> {
    match extra {
        AlsoProxy::Host(host) => Some(host.to_string()),
        AlsoProxy::Ip(_) | AlsoProxy::Cidr(_) => None,
    }
}

async fn ask(hosts: Vec<String>, explainer: &dyn Explainer) -> Hosts {
    let answers = stream::iter(hosts).map(|host| async move {
        let finding = match host.parse() {
            Ok(name) => explainer.in_cluster(&name).await,
            Err(_) => None,
        };
        (host, finding)
    });
    let answers: Vec<_> = answers.buffered(AT_ONCE).collect().await;
    let mut found = Hosts::default();
    for (host, finding) in answers {
        match finding {
            Some(finding) if finding.outcome.exists() => found.known.push(HostAddresses {
                host,
                addresses: finding.addresses,
            }),
            Some(_) => found.unknown.push(host),
            None => {}
        }
    }
    found
}

/// Returns a problem that lists the hosts that the cluster's DNS does not know, if any.
pub(crate) fn unknown(hosts: &[String]) -> Option<Problem> {
    let [first, rest @ ..] = hosts else {
        return None;
    };
    let names = rest
        .iter()
        .fold(format!("`{first}`"), |names, name| format!("{names}, `{name}`"));
    tracing::warn!("the cluster's DNS does not know {names}");
    let problem = Problem::new(
        "also-proxy-unknown",
        format!("The cluster's DNS does not know {names}, so programs do not reach it through the cluster."),
        "Check the spelling in `also-proxy`, or leave these names out.",
    );
    let remove = |host: &String| Action::RemoveAlsoProxy { host: host.clone() };
    Some(problem.with_actions(hosts.iter().map(remove)))
}
