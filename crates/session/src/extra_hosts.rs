//! Check of a profile's extra hosts (`also-proxy`) with the cluster's DNS.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use slipway_control::ProblemSource;
use slipway_control_api::{Action, Problem};
use slipway_method::Explainer;
use slipway_profile::{AlsoProxy, Profile};

/// Check of all extra hosts of a profile, done once.
pub(crate) struct HostsCheck {
    /// `None` once the answer is published.
    asking: Option<BoxFuture<'static, Option<Problem>>>,
    problems: ProblemSource,
}

impl HostsCheck {
    pub(crate) fn new(profile: &Profile, explainer: Arc<dyn Explainer>, problems: ProblemSource) -> Self {
        let hosts = profile.also_proxy.iter().filter_map(|extra| match extra {
            AlsoProxy::Host(host) => Some(host.to_string()),
            AlsoProxy::Ip(_) | AlsoProxy::Cidr(_) => None,
        });
        Self {
            asking: Some(unknown(hosts.collect(), explainer).boxed()),
            problems,
        }
    }

    /// Waits for the answer and publishes it. Returns at once if that is done. Cancel-safe.
    pub(crate) async fn finish(&mut self) {
        if let Some(asking) = &mut self.asking {
            let problem = asking.await;
            self.asking = None;
            self.problems.set(problem);
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.asking.is_none()
    }
}

/// Returns a problem that lists the hosts that the cluster's DNS does not know, if any.
async fn unknown(hosts: Vec<String>, explainer: Arc<dyn Explainer>) -> Option<Problem> {
    let mut unknown = Vec::new();
    for host in hosts {
        let Ok(name) = host.parse() else { continue };
        let found = explainer.in_cluster(&name).await;
        if !found.is_some_and(|finding| finding.outcome.exists()) {
            unknown.push(host);
        }
    }
    let [first, rest @ ..] = &unknown[..] else {
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
    Some(problem.with_actions(unknown.iter().map(remove)))
}
