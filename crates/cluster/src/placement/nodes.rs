//! Nodes of the cluster in words, for an agent that no node accepts.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use kube::Client;
use kube::api::{Api, ListParams};

use slipway_api_server::request::{Access, ask_within};

/// Processor for which the agent is built, as nodes name it.
const PROCESSOR: &str = "amd64";

/// Limit of the question about nodes. Without an answer the scheduler's message stands alone.
const PATIENCE: Duration = Duration::from_secs(2);

/// Number of nodes that are looked at.
const SAMPLE: u32 = 500;

/// Adds to a message of the scheduler which processors the cluster's nodes have, if none has the agent's and the user may
/// list nodes.
pub(super) async fn in_words(client: &Client, message: String) -> String {
    // `NodeAffinity` of the scheduler: the message for a node selector that no node matches.
    if !message.contains("node affinity/selector") {
        return message;
    }
    let api: Api<Node> = Api::all(client.clone());
    let sample = ListParams::default().limit(SAMPLE);
    let access = Access::cluster("list", "", "nodes");
    match ask_within(PATIENCE, access, api.list(&sample)).await {
        Ok(listed) => with_processors(message, &listed.items),
        Err(error) => {
            tracing::debug!(%error, "cannot list nodes");
            message
        }
    }
}

fn with_processors(message: String, nodes: &[Node]) -> String {
    let label = |node: &Node, key: &str| node.metadata.labels.as_ref()?.get(key).cloned();
    let linux = nodes
        .iter()
        .filter(|node| label(node, "kubernetes.io/os").as_deref() == Some("linux"));
    let processors: BTreeSet<String> = linux
        .filter_map(|node| label(node, "kubernetes.io/arch"))
        .collect();
    if processors.is_empty() || processors.contains(PROCESSOR) {
        return message;
    }
    let all: Vec<String> = processors.into_iter().collect();
    format!(
        "this cluster has only {} nodes, and the agent needs {PROCESSOR} ({message})",
        all.join(" and ")
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use slipway_scripted_api::{Script, list, rbac};

    const NODES: &str = "/api/v1/nodes";
    const MESSAGE: &str = "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.";

    fn node(os: &str, arch: &str) -> Value {
        json!({"metadata": {"name": arch, "labels": {"kubernetes.io/os": os, "kubernetes.io/arch": arch}}})
    }

    async fn words(nodes: &[Value]) -> String {
        let script = Script::new().on("GET", NODES, 200, list("NodeList", "v1", nodes));
        in_words(&script.client(), MESSAGE.to_owned()).await
    }

    #[tokio::test]
    async fn only_arm64_nodes_are_said_in_words() {
        let text = format!("this cluster has only arm64 nodes, and the agent needs amd64 ({MESSAGE})");
        assert_eq!(
            words(&[node("linux", "arm64"), node("windows", "amd64")]).await,
            text
        );
        assert_eq!(
            words(&[node("linux", "arm64"), node("linux", "amd64")]).await,
            MESSAGE
        );
    }

    #[tokio::test]
    async fn nodes_are_asked_for_only_if_the_selector_matters() {
        let script = Script::new().on("GET", NODES, 403, rbac("list", "nodes", "", ""));
        let full = "0/2 nodes are available: 2 Insufficient memory.";
        assert_eq!(in_words(&script.client(), full.to_owned()).await, full);
        assert!(script.seen("GET", NODES).is_empty());
        assert_eq!(in_words(&script.client(), MESSAGE.to_owned()).await, MESSAGE);
    }
}
