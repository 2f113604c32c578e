//! Obstacles between an agent and the cluster's services: DNS without a ready pod, and network policies.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};

use crate::placement::AgentPod;
use slipway_api_server::request::{Access, ApiError, ask};

/// Namespace of the cluster's DNS, in clusters that keep the usual names.
pub const DNS_NAMESPACE: &str = "kube-system";

/// Label of the pods of the cluster's DNS, in clusters that keep the usual names.
pub const DNS_SELECTOR: &str = "k8s-app=kube-dns";

/// Largest number of objects of a list that are looked at.
const MOST: u32 = 500;

/// Numbers of pods of the cluster's DNS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DnsPods {
    /// Pods that are ready.
    pub ready: usize,
    /// All pods.
    pub all: usize,
}

/// Counts the pods of the cluster's DNS.
///
/// # Errors
/// Returns an [`ApiError`], often [`ApiError::Forbidden`].
pub async fn dns_pods(client: &Client) -> Result<DnsPods, ApiError> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), DNS_NAMESPACE);
    let params = ListParams::default().labels(DNS_SELECTOR).limit(MOST);
    let access = Access::within(DNS_NAMESPACE, "list", "", "pods");
    let listed = ask(access, pods.list(&params)).await?.items;
    Ok(DnsPods {
        ready: listed.iter().filter(|pod| is_ready(pod)).count(),
        all: listed.len(),
    })
}

/// Lists the names of the network policies that limit what the agent's pod sends.
///
/// # Errors
/// Returns an [`ApiError`], often [`ApiError::Forbidden`].
pub async fn egress_policies(client: &Client, agent: &AgentPod) -> Result<Vec<String>, ApiError> {
    let namespace = &agent.namespace;
    let policies: Api<NetworkPolicy> = Api::namespaced(client.clone(), namespace);
    let access = Access::within(namespace, "list", "networking.k8s.io", "networkpolicies");
    let listed = ask(access, policies.list(&ListParams::default().limit(MOST))).await?;
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let this_pod = ListParams::default().fields(&format!("metadata.name={}", agent.pod));
    let access = Access::within(namespace, "list", "", "pods");
    let pods = ask(access, pods.list(&this_pod)).await?;
    // An admission webhook may have added labels, so those of the manifest are not enough.
    let labels = pods.items.first().map(|pod| pod.labels().clone());
    let labels = labels.unwrap_or_default();
    let limiting = listed.items.iter().filter(|policy| limits(policy, &labels));
    Ok(limiting.map(ResourceExt::name_any).collect())
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    conditions
        .into_iter()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Returns whether a policy limits what a pod with these labels sends. Without types, a policy limits egress if it has
/// rules for it.
fn limits(policy: &NetworkPolicy, labels: &BTreeMap<String, String>) -> bool {
    let Some(spec) = &policy.spec else { return false };
    let is_about_egress = match &spec.policy_types {
        Some(types) => types.iter().any(|kind| kind == "Egress"),
        None => spec.egress.is_some(),
    };
    // Without a selector, a policy is for all pods.
    let selects = spec.pod_selector.as_ref();
    is_about_egress && selects.is_none_or(|selector| selects_pod(selector, labels))
}

/// Evaluates a label selector as the API server does: all of its requirements hold.
fn selects_pod(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let mut pairs = selector.match_labels.iter().flatten();
    let mut expressions = selector.match_expressions.iter().flatten();
    pairs.all(|(key, value)| labels.get(key) == Some(value))
        && expressions.all(|requirement| holds(requirement, labels))
}

fn holds(requirement: &LabelSelectorRequirement, labels: &BTreeMap<String, String>) -> bool {
    let value = labels.get(&requirement.key);
    let is_listed = || value.is_some_and(|value| requirement.values.iter().flatten().any(|one| one == value));
    match requirement.operator.as_str() {
        "In" => is_listed(),
        "NotIn" => !is_listed(),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        // The API server accepts no others.
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::placement::Owner;
    use slipway_scripted_api::Script;

    const POLICIES: &str = "/apis/networking.k8s.io/v1/namespaces/shop/networkpolicies";
    const PODS: &str = "/api/v1/namespaces/shop/pods";
    const DNS: &str = "/api/v1/namespaces/kube-system/pods";

    fn agent() -> AgentPod {
        AgentPod {
            namespace: "shop".to_owned(),
            pod: "slipway-1".to_owned(),
            uid: "1".to_owned(),
            owner: Owner::Bare,
            node: None,
            addresses: Vec::new(),
        }
    }

    fn list(items: &[Value]) -> Value {
        json!({"metadata": {}, "items": items})
    }

    fn policy(name: &str, spec: Value) -> Value {
        json!({"metadata": {"name": name}, "spec": spec})
    }

    #[tokio::test]
    async fn policies_that_limit_the_agent_are_named() {
        let egress = json!(["Ingress", "Egress"]);
        let policies = [
            policy("everybody", json!({"podSelector": {}, "policyTypes": egress})),
            policy("no-selector", json!({"policyTypes": egress})),
            policy("incoming", json!({"podSelector": {}, "policyTypes": ["Ingress"]})),
            policy("by-rules", json!({"podSelector": {}, "egress": []})),
            policy("without-rules", json!({"podSelector": {}})),
            policy(
                "ours",
                json!({"podSelector": {"matchLabels": {"app": "agent"}}, "policyTypes": egress}),
            ),
            policy(
                "others",
                json!({"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": egress}),
            ),
            policy(
                "expression",
                json!({
                    "podSelector": {"matchExpressions": [
                        {"key": "app", "operator": "In", "values": ["web", "agent"]},
                        {"key": "app", "operator": "NotIn", "values": ["web"]},
                        {"key": "app", "operator": "Exists"},
                        {"key": "tier", "operator": "DoesNotExist"},
                    ]},
                    "policyTypes": egress,
                }),
            ),
            policy(
                "other-expression",
                json!({
                    "podSelector": {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["agent"]}]},
                    "policyTypes": egress,
                }),
            ),
        ];
        let pod = json!({"metadata": {"name": "slipway-1", "labels": {"app": "agent"}}});
        let script =
            Script::new()
                .on("GET", POLICIES, 200, list(&policies))
                .on("GET", PODS, 200, list(&[pod]));
        let named = egress_policies(&script.client(), &agent()).await.unwrap();
        assert_eq!(
            named,
            ["everybody", "no-selector", "by-rules", "ours", "expression"]
        );
        assert!(
            script.seen("GET", PODS)[0]
                .query
                .contains("metadata.name%3Dslipway-1")
        );
    }

    #[tokio::test]
    async fn ready_pods_of_the_clusters_dns_are_counted() {
        let pod = |ready: &str| json!({"metadata": {"name": "coredns"}, "status": {"conditions": [{"type": "Ready", "status": ready}]}});
        let bare = json!({"metadata": {"name": "coredns"}});
        let script = Script::new().on("GET", DNS, 200, list(&[pod("True"), pod("False"), bare]));
        let counted = dns_pods(&script.client()).await.unwrap();
        assert_eq!(counted, DnsPods { ready: 1, all: 3 });
        assert!(script.seen("GET", DNS)[0].query.contains("k8s-app%3Dkube-dns"));
    }
}
