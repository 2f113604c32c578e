//! The hosts beside the cluster that a profile sends through it.

use slipway_control_api::{Action, Problem};
use slipway_profile::{AlsoProxy, Profile};
use slipway_vpn_tcp::Explainer;

/// Asks the cluster for the extra hosts of the profile, and says which of them it does not know.
pub(crate) async fn unknown_hosts(profile: &Profile, explainer: Explainer) -> Option<Problem> {
    let mut unknown = Vec::new();
    for extra in &profile.also_proxy {
        let AlsoProxy::Host(host) = extra else { continue };
        let Ok(name) = host.as_str().parse() else { continue };
        let found = explainer.in_cluster(&name).await;
        if !found.is_some_and(|finding| finding.outcome.exists()) {
            unknown.push(host.as_str());
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
        format!("The cluster's DNS does not know {names}, so it is not reached through the cluster."),
        "Correct the name in the profile, or leave it out.",
    );
    let remove = |host: &&str| Action::RemoveAlsoProxy {
        host: (*host).to_owned(),
    };
    Some(problem.with_actions(unknown.iter().map(remove)))
}
