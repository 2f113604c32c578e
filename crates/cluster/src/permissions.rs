//! What a user must be allowed, asked beforehand, and the Role that grants it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use futures_util::future::join_all;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::Client;
use kube::api::{Api, PostParams};
use serde::Serialize;

use crate::api::{Access, ApiError, ask};

/// What a permission is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Feature {
    /// The agent as a Job: create, watch, remove.
    Agent,
    /// The agent as a bare pod, where Jobs are forbidden.
    BareAgent,
    /// Carriers to the agent.
    Tunnel,
    /// Reasons in the cluster's words when an agent does not start.
    Explain,
    /// Lists to choose from: namespaces, workloads, services.
    Choose,
    /// The cluster's ranges beforehand; without them addresses are learned one by one from DNS answers.
    Ranges,
}

impl Feature {
    /// Whether a session is impossible without it, the two ways to have an agent counting as one.
    fn is_needed(self) -> bool {
        match self {
            Self::Agent | Self::Tunnel => true,
            Self::BareAgent | Self::Explain | Self::Choose | Self::Ranges => false,
        }
    }
}

/// One permission and what the API server says about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// What it is for.
    pub feature: Feature,
    /// The permission.
    pub access: Access,
    /// Whether the user has it.
    pub allowed: bool,
    /// The authorizer's reason; often empty.
    pub reason: String,
}

/// `(feature, verb, group, resource)` of everything in the session's namespace.
///
/// A WebSocket upgrade is a GET and asks for `get`; SPDY is a POST and asks for `create`; newer API servers want
/// `create` for both.
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

/// The same for the whole cluster.
const CLUSTER: &[(Feature, &str, &str, &str)] = &[
    (Feature::Choose, "list", "", "namespaces"),
    (Feature::Ranges, "list", "networking.k8s.io", "servicecidrs"),
    (Feature::Ranges, "list", "", "nodes"),
];

/// The features that [`role_yaml`] grants: a session, with reasons when it fails, and nothing else.
const GRANTED: &[Feature] = &[Feature::Agent, Feature::Tunnel, Feature::Explain];

/// Every permission that Slipway can use for a session in `namespace`.
pub fn wanted(namespace: &str) -> Vec<(Feature, Access)> {
    let within = NAMESPACED
        .iter()
        .map(|&(feature, verb, group, resource)| (feature, Access::within(namespace, verb, group, resource)));
    let cluster = CLUSTER
        .iter()
        .map(|&(feature, verb, group, resource)| (feature, Access::cluster(verb, group, resource)));
    within.chain(cluster).collect()
}

/// Asks the API server about each of [`wanted`], at the same time. Everyone may ask about themselves.
///
/// # Errors
/// The first [`ApiError`]: then nothing is known.
pub async fn check(client: &Client, namespace: &str) -> Result<Vec<Verdict>, ApiError> {
    let asked = wanted(namespace)
        .into_iter()
        .map(|(feature, access)| review(client, feature, access));
    join_all(asked).await.into_iter().collect()
}

/// What certainly keeps a user from placing an agent; the first of it, if there is any. To be asked before anything is
/// created. Narrower than [`missing`]: where one way of several is forbidden, the attempt shows whether another is left.
///
/// # Errors
/// The first [`ApiError`]: then nothing is known.
pub async fn in_the_way(client: &Client, namespace: &str) -> Result<Option<Access>, ApiError> {
    let needed = wanted(namespace)
        .into_iter()
        .filter(|(_, access)| is_without_a_way_round(access) || is_creating(access));
    let asked = needed.map(|(feature, access)| review(client, feature, access));
    let verdicts: Vec<Verdict> = join_all(asked).await.into_iter().collect::<Result<_, _>>()?;
    let nothing_may_be_created = !verdicts
        .iter()
        .any(|verdict| verdict.allowed && is_creating(&verdict.access));
    let first = verdicts.into_iter().find(|verdict| {
        let is_needed = is_without_a_way_round(&verdict.access)
            || nothing_may_be_created && verdict.access.resource == "jobs";
        is_needed && !verdict.allowed
    });
    Ok(first.map(|verdict| verdict.access))
}

/// An agent is a Job or a bare pod.
fn is_creating(access: &Access) -> bool {
    access.verb == "create" && matches!(access.resource.as_ref(), "jobs" | "pods")
}

/// Its pod is watched, and its program goes in over a WebSocket.
fn is_without_a_way_round(access: &Access) -> bool {
    matches!(
        (access.verb.as_ref(), access.resource.as_ref()),
        ("list" | "watch", "pods") | ("get", "pods/exec")
    )
}

/// What is missing for a session: empty when it is possible. Where the Job is forbidden and the bare pod allowed,
/// the Job is not missing.
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

/// A Role that is enough for a session in `namespace`.
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
    use crate::api::script::{Script, failure};

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
    async fn refused_credentials_are_an_error_and_not_a_list_of_denials() {
        let script = Script::new().on("POST", REVIEWS, 401, failure(401, "Unauthorized", "Unauthorized"));
        assert_eq!(
            check(&script.client(), "dev").await.unwrap_err().code(),
            "credentials-refused"
        );
    }

    /// Answers as an authorizer does that denies some of what it is asked.
    async fn in_the_way_when_denied(denied: impl Fn(&str, &str) -> bool) -> Option<String> {
        let mut script = Script::new();
        for (_, access) in wanted("dev") {
            if is_without_a_way_round(&access) || is_creating(&access) {
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
    async fn only_what_has_no_way_round_is_in_the_way() {
        assert_eq!(in_the_way_when_denied(|_, _| false).await, None);
        for (verb, resource) in [("list", "pods"), ("watch", "pods"), ("get", "pods/exec")] {
            let found = in_the_way_when_denied(|v, r| (v, r) == (verb, resource)).await;
            assert_eq!(found, Some(format!("{verb} {resource} in namespace dev")));
        }
        assert_eq!(
            in_the_way_when_denied(|_, resource| resource == "jobs").await,
            None,
            "a bare pod does"
        );
        let neither = in_the_way_when_denied(|verb, _| verb == "create").await;
        assert_eq!(neither.as_deref(), Some("create jobs (batch) in namespace dev"));
    }

    #[test]
    fn each_needed_permission_is_missed_by_its_name() {
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
    fn forbidden_jobs_are_missed_only_where_bare_pods_are_forbidden_too() {
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
    fn what_only_helps_is_not_missed() {
        let denied = |access: &Access| access.namespace.is_none() || access.resource == "events";
        assert!(missing(&verdicts(denied)).is_empty());
    }

    #[test]
    fn the_role_grants_a_session_and_nothing_else() {
        insta::assert_snapshot!(role_yaml("dev"));
    }
}
