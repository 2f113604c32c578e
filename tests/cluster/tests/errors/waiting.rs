//! Agents that the cluster does not take yet: a session waits, and goes on by itself.

use serde_json::json;
use slipway_cluster_tests::{CONNECTING, Desk, Session, on_the_plain_laptop, problems, until_within};

use crate::room::Room;
use crate::rules::agent_pod;
use crate::support::apply;

on_the_plain_laptop!(
    an_agent_with_all_settings_waits_for_its_node,
    a_replacement_waits_for_a_webhook,
);

const PAGE: &str = "http://web.shop.svc.cluster.local";

fn is_connected(session: &Session<'_>) -> bool {
    session.state().as_deref() == Some("connected")
}

/// Waits until the session's step, while it places an agent, has these words.
fn until_it_waits(session: &Session<'_>, words: &str) {
    let mut step = String::new();
    until_within(CONNECTING, "the step says what it waits for", || {
        step = session
            .status()
            .map_or_else(String::new, |status| status["step"].to_string());
        step.contains(words)
    })
    .unwrap_or_else(|why| panic!("{why}: {step}"));
    assert_eq!(session.state().as_deref(), Some("placing"));
}

/// A label or a taint of all nodes, removed when this is dropped.
struct NodeMark<'a> {
    desk: &'a Desk<'a>,
    verb: &'static str,
    key: &'static str,
}

impl<'a> NodeMark<'a> {
    fn begin(desk: &'a Desk<'a>, verb: &'static str, key: &'static str, value: &str) -> NodeMark<'a> {
        let mark = NodeMark { desk, verb, key };
        desk.kubectl(&[verb, "nodes", "--all", "--overwrite", &format!("{key}={value}")]);
        mark
    }
}

impl Drop for NodeMark<'_> {
    fn drop(&mut self) {
        let without = format!("{}-", self.key);
        let _ = self
            .desk
            .bed
            .kubectl([self.verb, "nodes", "--all", &without])
            .output();
    }
}

/// The only node has a taint, and gets the label of the agent's node late, as from an autoscaler.
fn an_agent_with_all_settings_waits_for_its_node(desk: &Desk<'_>) {
    let _locks = desk.alone();
    let room = Room::new(desk, "settings");
    room.add(json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "tunnel"}}));
    room.add(json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "regcred"},
        "type": "kubernetes.io/dockerconfigjson", "stringData": {".dockerconfigjson": "{\"auths\": {}}"},
    }));
    let _taint = NodeMark::begin(desk, "taint", "slipway.test/dedicated", "agents:NoSchedule");
    room.add(json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "plain"},
        "spec": {
            "securityContext": {
                "runAsNonRoot": true, "runAsUser": 1, "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [{
                "name": "plain", "image": "busybox", "command": ["sleep", "3600"],
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            }],
        },
    }));
    let why = [
        "get",
        "pod/plain",
        "--output=jsonpath={.status.conditions[?(@.type==\"PodScheduled\")].message}",
        "--namespace",
        &room.name,
    ];
    until_within(CONNECTING, "another pod gets no node", || {
        desk.kubectl(&why).contains("untolerated taint")
    })
    .unwrap();
    let session = desk.start_connecting(&[
        "--namespace",
        &room.name,
        "--agent-annotation=linkerd.io/inject=disabled",
        "--agent-toleration=slipway.test/dedicated=agents:NoSchedule",
        "--agent-node-selector=slipway.test/pool=ci",
        "--agent-pull-secret=regcred",
        "--agent-service-account=tunnel",
    ]);
    until_it_waits(&session, "node affinity/selector");
    let _label = NodeMark::begin(desk, "label", "slipway.test/pool", "ci");
    until_within(CONNECTING, "the session is connected", || is_connected(&session)).unwrap();
    assert!(desk.page(PAGE).is_some());
    let pod = agent_pod(desk, &room);
    assert_eq!(
        pod["metadata"]["annotations"]["linkerd.io/inject"], "disabled",
        "{pod}"
    );
    let spec = &pod["spec"];
    let toleration = json!({
        "key": "slipway.test/dedicated", "operator": "Equal", "value": "agents", "effect": "NoSchedule",
    });
    assert!(
        spec["tolerations"].as_array().unwrap().contains(&toleration),
        "{spec}"
    );
    assert_eq!(spec["nodeSelector"]["slipway.test/pool"], "ci");
    assert_eq!(spec["imagePullSecrets"], json!([{"name": "regcred"}]));
    assert_eq!(spec["serviceAccountName"], "tunnel");
    session.disconnect();
}

/// A webhook for the pods of one room, whose server refuses connections. Removed when this is dropped.
struct DeadWebhook<'a>(&'a Desk<'a>);

impl<'a> DeadWebhook<'a> {
    const NAME: &'static str = "dead.slipway.test";

    fn begin(desk: &'a Desk<'a>, room: &Room<'_>) -> DeadWebhook<'a> {
        let webhook = DeadWebhook(desk);
        apply(
            desk,
            &json!({
                "apiVersion": "admissionregistration.k8s.io/v1",
                "kind": "ValidatingWebhookConfiguration",
                "metadata": {"name": Self::NAME},
                "webhooks": [{
                    "name": Self::NAME,
                    "clientConfig": {"url": "https://127.0.0.1:9/"},
                    "failurePolicy": "Fail",
                    "sideEffects": "None",
                    "timeoutSeconds": 2,
                    "admissionReviewVersions": ["v1"],
                    "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": room.name}},
                    "rules": [{
                        "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"],
                    }],
                }],
            }),
        );
        room.until_a_pod_is_refused("failed calling webhook");
        webhook
    }
}

impl Drop for DeadWebhook<'_> {
    fn drop(&mut self) {
        let delete = ["delete", "validatingwebhookconfiguration", Self::NAME];
        let _ = self.0.bed.kubectl(delete).output();
    }
}

fn a_replacement_waits_for_a_webhook(desk: &Desk<'_>) {
    let room = Room::new(desk, "webhook");
    let session = desk.connect(&["--namespace", &room.name]);
    let service = desk.address("service/web", "{.spec.clusterIP}");
    // The developer may not read the cluster's ranges from this namespace, so the address is routed with its name.
    assert!(desk.page(PAGE).is_some());
    let name = || session.status().unwrap()["agent"]["pod"].clone();
    let first = name();
    let webhook = DeadWebhook::begin(desk, &room);
    let lose = [
        "delete",
        "pod",
        first.as_str().unwrap(),
        "--wait=false",
        "--namespace",
        &room.name,
    ];
    desk.kubectl(&lose);
    until_it_waits(&session, "failed calling webhook");
    let route = desk.text("ip", &["route", "get", &service]);
    assert!(route.contains("slipway"), "nothing leaves the tunnel: {route}");
    drop(webhook);
    until_within(CONNECTING, "the session is connected again", || {
        is_connected(&session)
    })
    .unwrap();
    assert_ne!(name(), first, "another agent serves");
    assert!(desk.page(PAGE).is_some());
    assert_eq!(problems(&session.status().unwrap()), [""; 0]);
    session.disconnect();
}
