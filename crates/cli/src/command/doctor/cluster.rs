//! Checks of the cluster: kubeconfig, API server, permissions, ranges.

use std::io;
use std::net::IpAddr;

use ipnet::IpNet;
use slipway_api_server::Target;
use slipway_api_server::kubeconfig::choose;
use slipway_cluster::permissions::{self, Feature, Verdict as Allowed};
use slipway_cluster::ranges::{self, Ranges};
use slipway_control_api::{Action, Check, Finding, Problem};
use slipway_laptop::{Holder, InUse, KnownRoute, Maker, conflicts, is_private};
use slipway_problem::Fault;
use slipway_profile::Profile;

use super::laptop;
use crate::arguments::chosen;
use crate::failure::Failure;

/// Runs the checks in order; stops at a failure that the next checks depend on.
pub(super) async fn check(profile: &Profile) -> Result<Vec<Finding>, Failure> {
    let mut findings = vec![match profile.method.ready() {
        Ok(()) => Finding::ok(
            Check::Method,
            format!("This version supports the method {}.", profile.method),
        ),
        Err(error) => Finding::problem(Check::Method, error.problem()),
    }];
    let (sources, choice) = chosen(profile, true)?;
    let target = match choose(&sources, &choice) {
        Ok(target) => target,
        Err(error) => {
            findings.push(Finding::problem(Check::Kubeconfig, error.problem()));
            return Ok(findings);
        }
    };
    findings.push(Finding::ok(
        Check::Kubeconfig,
        format!("Context {}, namespace {}.", target.context, target.namespace),
    ));
    findings.extend(ask(&target).await);
    Ok(findings)
}

async fn ask(target: &Target) -> Vec<Finding> {
    let answered = async {
        let client = target.client().await?;
        let version = target.probe(&client).await?;
        Ok::<_, slipway_api_server::kubeconfig::ConnectError>((client, version))
    };
    let (client, version) = match answered.await {
        Ok(answered) => answered,
        Err(error) => return vec![Finding::problem(Check::ApiServer, error.problem())],
    };
    let mut findings = vec![Finding::ok(
        Check::ApiServer,
        format!("{} answers: Kubernetes {}.", target.server, version.version),
    )];
    let namespaces = [target.namespace.clone()];
    let (allowed, ranges) = tokio::join!(
        permissions::check(&client, &target.namespace),
        ranges::learn(&client, &namespaces)
    );
    match allowed {
        Ok(allowed) => findings.extend(of_permissions(&target.namespace, &allowed)),
        Err(error) => findings.push(Finding::warn(
            Check::Permission,
            format!("Your permissions are not known: {error}."),
            error.remedy(),
        )),
    }
    let (routes, servers) = (laptop::routes().await, laptop::name_servers_in_use());
    findings.extend(of_ranges(&ranges, routes.as_ref().map(Vec::as_slice), &servers));
    findings
}

/// Returns a finding for each verb, and the Role to ask for if a required verb is missing.
fn of_permissions(namespace: &str, allowed: &[Allowed]) -> Vec<Finding> {
    let missing = permissions::missing(allowed);
    let mut findings: Vec<Finding> = allowed
        .iter()
        .map(|one| {
            let access = &one.access;
            if one.allowed {
                return Finding::ok(Check::Permission, format!("You may {access}."));
            }
            let detail = if one.reason.is_empty() {
                format!("You may not {access}.")
            } else {
                format!("You may not {access}: {}.", one.reason)
            };
            if missing.contains(&access) {
                Finding::fail(
                    Check::Permission,
                    detail,
                    "A session needs this permission; see the Role below.",
                )
                .coded("forbidden")
            } else {
                Finding::warn(Check::Permission, detail, without(one.feature))
            }
        })
        .collect();
    if !missing.is_empty() {
        let role = permissions::role_yaml(namespace);
        let problem = Problem::new(
            "forbidden",
            format!("You cannot connect to namespace {namespace} with these permissions."),
            format!(
                "Check the name of the namespace, then ask the cluster's administrator for this Role:\n{role}"
            ),
        );
        let ask = Action::AskForRole { yaml: role };
        findings.push(Finding::problem(Check::Permission, problem.with_actions([ask])));
    }
    findings
}

/// Returns the consequence of a feature's missing permission.
fn without(feature: Feature) -> &'static str {
    match feature {
        Feature::Agent => {
            "Slipway starts the agent as a bare pod instead; `slipway cleanup` removes ended pods."
        }
        Feature::BareAgent => "Not needed: Slipway starts the agent as a Job.",
        Feature::Tunnel => "A session needs this permission.",
        Feature::Explain => {
            "Not needed. Without it, kubectl shows why an agent does not start, and which Jobs are left. The Role in the README \
             grants it."
        }
        Feature::Choose => "Not needed. Type the names, because Slipway cannot list them.",
        Feature::Ranges => "Not needed. Slipway learns addresses one by one, as programs ask for names.",
    }
}

fn of_ranges(ranges: &Ranges, routes: Result<&[KnownRoute], &io::Error>, servers: &[IpAddr]) -> Vec<Finding> {
    let all: Vec<&IpNet> = ranges.services.iter().chain(&ranges.pods).collect();
    if all.is_empty() {
        return vec![Finding::ok(
            Check::Range,
            "The cluster's ranges are not known. Slipway learns addresses one by one, as programs ask for names.",
        )];
    }
    let routes = match routes {
        Ok(routes) => routes,
        Err(error) => {
            return vec![Finding::warn(
                Check::Range,
                format!(
                    "It is not known whether other networks of this laptop use the cluster's ranges: the kernel did not list \
                     its routes ({error})."
                ),
                "Connect. Slipway then leaves out ranges that another network uses, and reports them.",
            )];
        }
    };
    all.into_iter()
        .map(|range| of_range(*range, routes, servers))
        .collect()
}

/// Returns what the helper would decide about a range of the cluster, by the same rule.
fn of_range(range: IpNet, routes: &[KnownRoute], servers: &[IpAddr]) -> Finding {
    let in_use = conflicts(range, false, routes, servers, 0);
    let (sessions, others): (Vec<InUse>, Vec<InUse>) = in_use
        .into_iter()
        .partition(|in_use| in_use.holder == Holder::Session);
    if !others.is_empty() {
        return Finding::warn(
            Check::Range,
            format!("{range} is also used by {}.", owners(&others)),
            "Pods and services with addresses in both networks cannot be reached, and their names do not resolve. \
             Disconnect from the other network, or end its VPN.",
        )
        .coded("range-not-routed");
    }
    if !sessions.is_empty() {
        let owners = owners(&sessions);
        return Finding::ok(
            Check::Range,
            format!("Traffic to {range} goes to the session that has {owners}."),
        );
    }
    let around = routes
        .iter()
        .find(|route| route.maker == Maker::Other && is_private(route.net) && route.net.contains(&range));
    let detail = match around {
        Some(KnownRoute { net, device, .. }) => {
            format!("{range} is free on this laptop; the rest of {net} stays with {device}.")
        }
        None => format!("{range} is free on this laptop."),
    };
    Finding::ok(Check::Range, detail)
}

fn owners(in_use: &[InUse]) -> String {
    let owners: Vec<String> = in_use
        .iter()
        .map(|InUse { net, device, holder }| match holder {
            Holder::NameServer => format!("the name server {}", net.addr()),
            Holder::Gateway => format!("the gateway {}", net.addr()),
            Holder::Attached | Holder::Session | Holder::Routed => format!("{device} ({net})"),
        })
        .collect();
    owners.join(", ")
}

#[cfg(test)]
mod tests {
    use slipway_api_server::request::Access;

    use super::*;
    use crate::command::doctor::text::in_words;

    fn verdict(feature: Feature, verb: &'static str, resource: &'static str, allowed: bool) -> Allowed {
        Allowed {
            feature,
            access: Access::within("shop", verb, "", resource),
            allowed,
            reason: String::new(),
        }
    }

    #[test]
    fn a_required_verb_fails_with_a_role_an_optional_one_warns() {
        let findings = of_permissions(
            "shop",
            &[
                verdict(Feature::Agent, "list", "pods", true),
                verdict(Feature::Tunnel, "create", "pods/portforward", false),
                verdict(Feature::Choose, "list", "services", false),
            ],
        );
        insta::assert_snapshot!(in_words(&findings));
    }

    #[test]
    fn no_role_is_shown_if_all_verbs_are_allowed() {
        let findings = of_permissions("shop", &[verdict(Feature::Agent, "list", "pods", true)]);
        assert_eq!(findings.len(), 1);
    }

    #[test]
    fn a_range_has_the_verdict_of_the_helpers_rule() {
        let route = |net: &str, device: &str, maker| KnownRoute {
            net: net.parse().unwrap(),
            gateways: Vec::new(),
            index: 7,
            device: device.to_owned(),
            maker,
        };
        let laptop = [
            route("10.0.0.0/8", "tun0", Maker::Other),
            route("10.96.4.0/24", "wg0", Maker::Other),
            route("10.96.0.0/16", "slipway0", Maker::Helper),
            route("10.100.0.0/16", "slipway0", Maker::Helper),
        ];
        let ranges = Ranges {
            services: vec!["10.96.0.0/16".parse().unwrap(), "10.100.0.0/16".parse().unwrap()],
            pods: vec!["10.244.0.0/16".parse().unwrap(), "172.20.0.0/16".parse().unwrap()],
            ..Ranges::default()
        };
        let servers = ["172.20.0.53".parse().unwrap()];
        insta::assert_snapshot!(in_words(&of_ranges(&ranges, Ok(&laptop), &servers)));
    }

    #[test]
    fn without_the_laptops_routes_no_range_is_called_free() {
        let ranges = Ranges {
            services: vec!["10.96.0.0/16".parse().unwrap()],
            ..Ranges::default()
        };
        let error = io::Error::from_raw_os_error(105);
        let findings = of_ranges(&ranges, Err(&error), &[]);
        assert!(
            findings
                .iter()
                .all(|finding| finding.verdict == slipway_control_api::Verdict::Warn)
        );
        assert!(!in_words(&findings).contains("free"));
    }
}
