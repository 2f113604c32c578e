//! Checks of the cluster: methods, kubeconfig, API server, namespace, permissions.

use slipway_api_server::Target;
use slipway_api_server::kubeconfig::{ConnectError, choose};
use slipway_api_server::request::ApiError;
use slipway_cluster::namespace::{self, NamespaceState};
use slipway_cluster::permissions::{self, Feature, Verdict as Allowed};
use slipway_cluster::placement::PlaceError;
use slipway_cluster::ranges;
use slipway_control_api::{Action, Check, Finding, Problem};
use slipway_problem::Fault;
use slipway_profile::Method;

use super::reporter::Reporter;
use super::subject::Subject;
use crate::arguments::chosen;
use crate::failure::Failure;

/// Returns for each method whether this version can connect with it.
pub(super) fn methods(subject: &Subject, methods: &[Method]) -> Vec<Finding> {
    let of_method = |method: &Method| {
        let finding = match method.ready() {
            Ok(()) => Finding::ok(
                Check::Method,
                format!("This version supports the method {method}."),
            ),
            Err(error) if subject.identity.is_some() && subject.profile.method == *method => {
                Finding::problem(Check::Method, subject.profile.name.editable(error.problem()))
            }
            Err(error) => Finding::problem(Check::Method, error.problem()),
        };
        Finding {
            methods: vec![*method],
            ..finding
        }
    };
    methods.iter().map(of_method).collect()
}

/// Runs the steps of the cluster in order. Leaves out those that depend on a failed one.
pub(super) async fn check(subject: &Subject, reporter: &Reporter<'_>) {
    let target = reporter.step(Check::Kubeconfig, async { target(subject) }).await;
    let Some(target) = target.flatten() else {
        reporter.leave_out(&[Check::ApiServer]).await;
        return without_client(subject, reporter).await;
    };
    let reached = reporter.step(Check::ApiServer, Box::pin(reach(&target))).await;
    let Some(client) = reached.flatten() else {
        return without_client(subject, reporter).await;
    };
    let name = &target.namespace;
    tokio::join!(
        reporter.findings(Check::Namespace, Box::pin(look(&client, name))),
        reporter.findings(Check::Permission, Box::pin(may(&client, name))),
        reporter.findings(
            Check::Range,
            Box::pin(async {
                let learned = ranges::learn(&client, std::slice::from_ref(name)).await;
                super::ranges::check(Some(&learned), subject, reporter).await
            })
        )
    );
}

async fn look(client: &kube::Client, namespace: &str) -> Vec<Finding> {
    vec![of_namespace(namespace, namespace::look(client, namespace).await)]
}

async fn may(client: &kube::Client, namespace: &str) -> Vec<Finding> {
    match permissions::check(client, namespace).await {
        Ok(allowed) => of_permissions(namespace, &allowed),
        Err(error) => vec![Finding::warn(
            Check::Permission,
            format!("Your permissions are not known: {error}."),
            error.remedy(),
        )],
    }
}

/// Checks what needs no answer of the API server.
async fn without_client(subject: &Subject, reporter: &Reporter<'_>) {
    reporter.leave_out(&[Check::Namespace, Check::Permission]).await;
    if super::ranges::of_user(&subject.profile).next().is_none() {
        return reporter.leave_out(&[Check::Range]).await;
    }
    let ranges = super::ranges::check(None, subject, reporter);
    reporter.findings(Check::Range, Box::pin(ranges)).await;
}

fn target(subject: &Subject) -> (Vec<Finding>, Option<Target>) {
    let chosen = chosen(&subject.profile, subject.terminal)
        .and_then(|(sources, choice)| Ok(choose(&sources, &choice)?))
        .map_err(Failure::into_problem);
    match chosen {
        Ok(target) => {
            let cluster = match &subject.profile.cluster.server {
                Some(server) => format!("Server {server} of the profile"),
                None => format!("Context {}", target.context),
            };
            let text = format!("{cluster}, namespace {}.", target.namespace);
            (vec![Finding::ok(Check::Kubeconfig, text)], Some(target))
        }
        Err(problem) => (vec![Finding::problem(Check::Kubeconfig, problem)], None),
    }
}

async fn reach(target: &Target) -> (Vec<Finding>, Option<kube::Client>) {
    let answered = async {
        let client = target.client().await?;
        let version = target.probe(&client).await?;
        Ok::<_, ConnectError>((client, version))
    };
    match answered.await {
        Ok((client, version)) => {
            let text = format!("{} answers: Kubernetes {}.", target.server, version.version);
            (vec![Finding::ok(Check::ApiServer, text)], Some(client))
        }
        Err(error) => (vec![Finding::problem(Check::ApiServer, error.problem())], None),
    }
}

/// Returns whether the namespace exists, or that it is not known.
fn of_namespace(name: &str, looked: Result<NamespaceState, ApiError>) -> Finding {
    let namespace = name.to_owned();
    match looked {
        Ok(NamespaceState::Exists) => Finding::ok(Check::Namespace, format!("Namespace {name} exists.")),
        Ok(NamespaceState::Ending) => Finding::problem(
            Check::Namespace,
            PlaceError::NamespaceEnding { namespace }.problem(),
        ),
        Ok(NamespaceState::Missing { near }) => {
            let mut problem = PlaceError::NamespaceMissing { namespace }.problem();
            if let Some(near) = near {
                problem.remedy = format!("Did you mean {near}? {}", problem.remedy);
                problem.actions.push(Action::UseNamespace { namespace: near });
            }
            Finding::problem(Check::Namespace, problem)
        }
        Err(ApiError::Forbidden { .. }) => Finding::ok(
            Check::Namespace,
            format!(
                "It is not known whether namespace {name} exists: you may neither list nor read namespaces. If the name \
                 is misspelled, permissions seem to be missing."
            ),
        ),
        Err(error) => Finding::warn(
            Check::Namespace,
            format!("It is not known whether namespace {name} exists: {error}."),
            error.remedy(),
        ),
    }
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
        let role = permissions::grant_yaml(namespace);
        let problem = Problem::new(
            "forbidden",
            format!("You cannot connect to namespace {namespace} with these permissions."),
            format!(
                "Check the name of the namespace, then ask the cluster's administrator for this Role with its \
                 RoleBinding:\n{role}"
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
        Feature::Tunnel => "Not needed. Slipway uses exec instead, which is slower.",
        Feature::Explain => {
            "Not needed. Without it, kubectl shows why an agent does not start, and which Jobs are left. The Role in the README \
             grants it."
        }
        Feature::Choose => "Not needed. Type the names, because Slipway cannot list them.",
        Feature::Ranges => "Not needed. Slipway learns addresses one by one, as programs ask for names.",
    }
}

#[cfg(test)]
mod tests {
    use slipway_api_server::request::Access;
    use slipway_control_api::Verdict as Checked;

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
                verdict(Feature::Agent, "create", "pods/exec", false),
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
    fn without_port_forward_a_session_is_possible() {
        let findings = of_permissions(
            "shop",
            &[
                verdict(Feature::Agent, "create", "pods/exec", true),
                verdict(Feature::Tunnel, "create", "pods/portforward", false),
            ],
        );
        assert!(
            findings.iter().all(|finding| finding.verdict != Checked::Fail),
            "{findings:?}"
        );
        let text = in_words(&findings);
        assert!(text.contains("Slipway uses exec instead"), "{text}");
    }

    #[test]
    fn a_missing_namespace_fails_beside_a_similar_one() {
        let missing = of_namespace(
            "shpo",
            Ok(NamespaceState::Missing {
                near: Some("shop".into()),
            }),
        );
        assert_eq!(missing.code.as_deref(), Some("namespace-missing"));
        assert_eq!(missing.verdict, Checked::Fail);
        assert!(missing.remedy.unwrap().starts_with("Did you mean shop?"));
        let namespace = "shop".to_owned();
        assert_eq!(missing.actions, [Action::UseNamespace { namespace }]);
        assert_eq!(
            of_namespace("shop", Ok(NamespaceState::Exists)).detail,
            "Namespace shop exists."
        );
        let ending = of_namespace("shop", Ok(NamespaceState::Ending));
        assert_eq!(ending.code.as_deref(), Some("namespace-ending"));
    }

    #[test]
    fn a_namespace_that_cannot_be_read_is_not_said_to_exist() {
        let access = Access::cluster("get", "", "namespaces");
        let message = String::new();
        let finding = of_namespace("shop", Err(ApiError::Forbidden { access, message }));
        assert_eq!(finding.verdict, Checked::Ok);
        assert!(
            finding.detail.starts_with("It is not known whether"),
            "{}",
            finding.detail
        );
        // It stays a row of its own, because no other finding has this check.
        let server = Finding::ok(Check::ApiServer, "It answers.");
        let text = in_words(&[server, finding]);
        assert!(
            text.contains("\nok    namespace   It is not known whether"),
            "{text}"
        );
    }
}
