//! Permissions that a session needs: checking them beforehand, and the Role that grants them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use futures_util::future::join_all;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::Client;
use kube::api::{Api, PostParams};
use serde::Serialize;

use slipway_api_server::request::{Access, ApiError, ask};

/// Purpose of a permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Feature {
    /// An agent as a Job: create, watch, remove.
    Agent,
    /// An agent as a bare pod, where Jobs are forbidden.
    BareAgent,
    /// Carriers to the agent by port-forward. Without them carriers use exec, which an agent needs in any case.
    Tunnel,
    /// The cluster's reasons when an agent does not start.
    Explain,
    /// Lists to choose from: namespaces, workloads, services.
    Choose,
    /// The cluster's ranges at the start. Without them the session learns addresses one by one from DNS answers.
    Ranges,
}

impl Feature {
    /// Returns whether a session is impossible without it. Job and bare pod count as one.
    fn is_needed(self) -> bool {
        match self {
            Self::Agent => true,
            Self::BareAgent | Self::Tunnel | Self::Explain | Self::Choose | Self::Ranges => false,
        }
    }
}

/// A permission, with the API server's answer about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Purpose of the permission.
    pub feature: Feature,
    /// The permission.
    pub access: Access,
    /// Whether the user has it.
    pub allowed: bool,
    /// Reason of the authorizer; often empty.
    pub reason: String,
}

/// Permissions in the session's namespace: `(feature, verb, group, resource)`.
///
/// A WebSocket upgrade is a GET and needs `get`; SPDY is a POST and needs `create`; newer API servers require `create`
/// for both.
const NAMESPACED: &[(Feature, &str, &str, &str)] = &[
    (Feature::Agent, "create", "batch", "jobs"),
    (Feature::Agent, "delete", "batch", "jobs"),
    (Feature::Agent, "list", "", "pods"),
    (Feature::Agent, "watch", "", "pods"),
    (Feature::Agent, "get", "", "pods/exec"),
    (Feature::Agent, "create", "", "pods/exec"),
    (Feature::Tunnel, "get", "", "pods/portforward"),
    (Feature::Tunnel, "create", "", "pods/portforward"),
    (Feature::Explain, "list", "batch", "jobs"),
    (Feature::Explain, "list", "", "events"),
    (Feature::Explain, "watch", "", "events"),
    (Feature::BareAgent, "create", "", "pods"),
    (Feature::BareAgent, "delete", "", "pods"),
    (Feature::Choose, "list", "", "services"),
    (Feature::Choose, "list", "apps", "deployments"),
    (Feature::Choose, "list", "apps", "statefulsets"),
    (Feature::Choose, "list", "apps", "daemonsets"),
];

/// Permissions in the whole cluster, with the same fields.
const CLUSTER: &[(Feature, &str, &str, &str)] = &[
    (Feature::Choose, "list", "", "namespaces"),
    (Feature::Ranges, "list", "networking.k8s.io", "servicecidrs"),
    (Feature::Ranges, "list", "", "nodes"),
];

/// Features that [`role_yaml`] grants: a session, with reasons when it fails, and nothing else.
const GRANTED: &[Feature] = &[Feature::Agent, Feature::Tunnel, Feature::Explain];

/// Returns every permission that Slipway can use for a session in `namespace`.
pub fn wanted(namespace: &str) -> Vec<(Feature, Access)> {
    let within = NAMESPACED
        .iter()
        .map(|&(feature, verb, group, resource)| (feature, Access::within(namespace, verb, group, resource)));
    let cluster = CLUSTER
        .iter()
        .map(|&(feature, verb, group, resource)| (feature, Access::cluster(verb, group, resource)));
    within.chain(cluster).collect()
}

/// Asks the API server about each of the [`wanted`] permissions, in parallel. Every user may ask about themselves.
///
/// # Errors
/// Returns the first [`ApiError`]; then no permission is known.
pub async fn check(client: &Client, namespace: &str) -> Result<Vec<Verdict>, ApiError> {
    let asked = wanted(namespace)
        .into_iter()
        .map(|(feature, access)| review(client, feature, access));
    join_all(asked).await.into_iter().collect()
}

/// Returns the first permission whose absence prevents an agent, if any. For use before anything is created. It reports
/// less than [`missing`]: where one of several methods is forbidden, the attempt shows whether another one works.
///
/// # Errors
/// Returns the first [`ApiError`]; then no permission is known.
pub async fn in_the_way(client: &Client, namespace: &str) -> Result<Option<Access>, ApiError> {
    let needed = wanted(namespace)
        .into_iter()
        .filter(|(_, access)| is_indispensable(access) || is_creating(access));
    let asked = needed.map(|(feature, access)| review(client, feature, access));
    let verdicts: Vec<Verdict> = join_all(asked).await.into_iter().collect::<Result<_, _>>()?;
    let nothing_may_be_created = !verdicts
        .iter()
        .any(|verdict| verdict.allowed && is_creating(&verdict.access));
    let first = verdicts.into_iter().find(|verdict| {
        let is_needed =
            is_indispensable(&verdict.access) || nothing_may_be_created && verdict.access.resource == "jobs";
        is_needed && !verdict.allowed
    });
    Ok(first.map(|verdict| verdict.access))
}

/// Returns whether a permission is for creating an agent, as a Job or as a bare pod.
fn is_creating(access: &Access) -> bool {
    access.verb == "create" && matches!(access.resource.as_ref(), "jobs" | "pods")
}

/// Returns whether no other permission can replace this one: the agent's pod is watched, and its program is uploaded
/// over a WebSocket.
fn is_indispensable(access: &Access) -> bool {
    matches!(
        (access.verb.as_ref(), access.resource.as_ref()),
        ("list" | "watch", "pods") | ("get", "pods/exec")
    )
}

/// Returns the permissions that are missing for a session; empty when it is possible. Where bare pods are allowed, Jobs
/// are not missing.
pub fn missing(verdicts: &[Verdict]) -> Vec<&Access> {
    let bare = verdicts
        .iter()
        .filter(|verdict| verdict.feature == Feature::BareAgent);
    let bare_is_possible = bare.clone().count() > 0 && bare.clone().all(|verdict| verdict.allowed);
    verdicts
        .iter()
        .filter(|verdict| verdict.feature.is_needed() && !verdict.allowed)
        .filter(|verdict| !(bare_is_possible && verdict.access.resource == "jobs"))
        .map(|verdict| &verdict.access)
        .collect()
}

/// Returns a Role, as YAML, that is sufficient for a session in `namespace`.
pub fn role_yaml(namespace: &str) -> String {
    let mut rules: BTreeMap<(&str, Vec<&str>), Vec<&str>> = BTreeMap::new();
    for (group, resource) in granted_resources() {
        let verbs = NAMESPACED
            .iter()
            .filter(|(feature, _, g, r)| GRANTED.contains(feature) && *g == group && *r == resource)
            .map(|(_, verb, _, _)| *verb)
            .collect();
        rules.entry((group, verbs)).or_default().push(resource);
    }
    let mut yaml = format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata:\n  name: slipway\n  namespace: {namespace}\nrules:\n"
    );
    for ((group, verbs), resources) in rules {
        let (verbs, resources) = (verbs.join(", "), resources.join(", "));
        // Writing to a String cannot fail.
        let _ = write!(
            yaml,
            "- apiGroups: [\"{group}\"]\n  resources: [{resources}]\n  verbs: [{verbs}]\n"
        );
    }
    yaml
}

/// Returns the Role of [`role_yaml`] and a RoleBinding that gives it to a user, as YAML. The administrator fills in the
/// user's name, which only the API server knows.
pub fn grant_yaml(namespace: &str) -> String {
    format!(
        "{}---\napiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata:\n  name: slipway\n  namespace: \
         {namespace}\nroleRef:\n  apiGroup: rbac.authorization.k8s.io\n  kind: Role\n  name: slipway\nsubjects:\n- apiGroup: \
         rbac.authorization.k8s.io\n  kind: User\n  name: NAME  # as `kubectl auth whoami` shows it\n",
        role_yaml(namespace)
    )
}

fn granted_resources() -> Vec<(&'static str, &'static str)> {
    let mut resources = Vec::new();
    for (feature, _, group, resource) in NAMESPACED {
        if GRANTED.contains(feature) && !resources.contains(&(*group, *resource)) {
            resources.push((*group, *resource));
        }
    }
    resources
}

async fn review(client: &Client, feature: Feature, access: Access) -> Result<Verdict, ApiError> {
    let (resource, subresource) = match access.resource.split_once('/') {
        Some((resource, subresource)) => (resource, Some(subresource)),
        None => (access.resource.as_ref(), None),
    };
    let question = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                verb: Some(access.verb.clone().into_owned()),
                group: Some(access.group.clone().into_owned()),
                resource: Some(resource.to_owned()),
                subresource: subresource.map(str::to_owned),
                namespace: access.namespace.clone(),
                ..ResourceAttributes::default()
            }),
            non_resource_attributes: None,
        },
        ..SelfSubjectAccessReview::default()
    };
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let may_ask = Access::cluster("create", "authorization.k8s.io", "selfsubjectaccessreviews");
    let answer = ask(may_ask, reviews.create(&PostParams::default(), &question)).await?;
    let status = answer.status.unwrap_or_default();
    Ok(Verdict {
        feature,
        access,
        allowed: status.allowed,
        reason: status.reason.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use slipway_problem::Fault;

    use super::*;
    use slipway_scripted_api::{Script, failure};

    const REVIEWS: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";

    fn verdicts(denied: impl Fn(&Access) -> bool) -> Vec<Verdict> {
        let verdict = |(feature, access): (Feature, Access)| Verdict {
            feature,
            allowed: !denied(&access),
            reason: String::new(),
            access,
        };
        wanted("dev").into_iter().map(verdict).collect()
    }

    #[tokio::test]
    async fn each_permission_is_asked_for_once_with_its_subresource() {
        let answer = json!({"spec": {}, "status": {"allowed": true}});
        let script = Script::new().on("POST", REVIEWS, 201, answer);
        let verdicts = check(&script.client(), "dev").await.unwrap();
        assert!(verdicts.iter().all(|verdict| verdict.allowed));
        let asked = script.seen("POST", REVIEWS);
        assert_eq!(asked.len(), wanted("dev").len());
        let exec = json!({"verb": "get", "group": "", "resource": "pods", "subresource": "exec", "namespace": "dev"});
        assert!(
            asked
                .iter()
                .any(|seen| seen.body["spec"]["resourceAttributes"] == exec)
        );
        let nodes = json!({"verb": "list", "group": "", "resource": "nodes"});
        assert!(
            asked
                .iter()
                .any(|seen| seen.body["spec"]["resourceAttributes"] == nodes)
        );
    }

    #[tokio::test]
    async fn refused_credentials_are_an_error() {
        let script = Script::new().on("POST", REVIEWS, 401, failure(401, "Unauthorized", "Unauthorized"));
        assert_eq!(
            check(&script.client(), "dev").await.unwrap_err().code(),
            "credentials-refused"
        );
    }

    /// Answers like an authorizer that denies some permissions.
    async fn in_the_way_when_denied(denied: impl Fn(&str, &str) -> bool) -> Option<String> {
        let mut script = Script::new();
        for (_, access) in wanted("dev") {
            if is_indispensable(&access) || is_creating(&access) {
                let allowed = !denied(&access.verb, &access.resource);
                script = script.on(
                    "POST",
                    REVIEWS,
                    201,
                    json!({"spec": {}, "status": {"allowed": allowed}}),
                );
            }
        }
        let found = in_the_way(&script.client(), "dev").await.unwrap();
        found.map(|access| access.to_string())
    }

    #[tokio::test]
    async fn only_indispensable_permissions_prevent_a_session() {
        assert_eq!(in_the_way_when_denied(|_, _| false).await, None);
        for (verb, resource) in [("list", "pods"), ("watch", "pods"), ("get", "pods/exec")] {
            let found = in_the_way_when_denied(|v, r| (v, r) == (verb, resource)).await;
            assert_eq!(found, Some(format!("{verb} {resource} in namespace dev")));
        }
        assert_eq!(
            in_the_way_when_denied(|_, resource| resource == "jobs").await,
            None,
            "a bare pod is sufficient"
        );
        let neither = in_the_way_when_denied(|verb, _| verb == "create").await;
        assert_eq!(neither.as_deref(), Some("create jobs (batch) in namespace dev"));
    }

    #[test]
    fn each_needed_permission_is_reported_by_name() {
        assert!(missing(&verdicts(|_| false)).is_empty());
        for (feature, verb, group, resource) in NAMESPACED.iter().filter(|need| need.0.is_needed()) {
            if *resource == "jobs" {
                continue;
            }
            let denied = |access: &Access| access.verb == *verb && access.resource == *resource;
            let verdicts = verdicts(denied);
            let found = missing(&verdicts);
            assert_eq!(
                found,
                [&Access::within("dev", verb, group, resource)],
                "{feature:?}"
            );
        }
    }

    #[test]
    fn forbidden_jobs_matter_only_without_bare_pods() {
        let jobs = |access: &Access| access.resource == "jobs";
        assert!(missing(&verdicts(jobs)).is_empty());
        let both = |access: &Access| jobs(access) || (access.resource == "pods" && access.verb == "create");
        let verdicts = verdicts(both);
        let names: Vec<_> = missing(&verdicts).into_iter().map(ToString::to_string).collect();
        assert_eq!(
            names,
            [
                "create jobs (batch) in namespace dev",
                "delete jobs (batch) in namespace dev"
            ]
        );
    }

    #[test]
    fn optional_permissions_are_not_reported() {
        let denied = |access: &Access| {
            access.namespace.is_none() || matches!(access.resource.as_ref(), "events" | "pods/portforward")
        };
        assert!(missing(&verdicts(denied)).is_empty());
    }

    #[test]
    fn the_role_grants_a_session_and_nothing_else() {
        insta::assert_snapshot!(role_yaml("dev"));
    }

    #[test]
    fn the_role_comes_with_a_binding() {
        let yaml = grant_yaml("dev");
        let (role, binding) = yaml.split_once("---\n").unwrap();
        assert_eq!(role, role_yaml("dev"));
        let binding: k8s_openapi::api::rbac::v1::RoleBinding = serde_saphyr::from_str(binding).unwrap();
        assert_eq!(binding.metadata.namespace.as_deref(), Some("dev"));
        assert_eq!(
            (binding.role_ref.kind.as_str(), binding.role_ref.name.as_str()),
            ("Role", "slipway")
        );
        assert_eq!(binding.subjects.unwrap()[0].kind, "User");
    }
}
