//! Rules of a namespace about pods: the agent's pod complies by itself, or by settings that the error names.

use std::time::Duration;

use serde_json::{Value, json};
use slipway_cluster_tests::{Desk, Session, on_the_plain_laptop, path_text, program, until_within};

use crate::room::Room;
use crate::support::{Attempt, COLLECTED, apply};

on_the_plain_laptop!(
    bounds_of_a_limit_range_are_met,
    rules_that_do_not_say_what_they_ask_for_are_met,
    a_rule_about_labels_is_met_by_the_named_setting,
    an_agent_beside_added_containers_ends_with_its_pod,
    cleanup_takes_an_ended_agent_at_once,
);

/// How long the cluster may take to refuse each shape of a pod.
const REFUSED: Duration = Duration::from_secs(20);

fn bounds_of_a_limit_range_are_met(desk: &Desk<'_>) {
    let room = Room::new(desk, "bounds");
    room.add(json!({
        "apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "narrow"},
        "spec": {"limits": [{
            "type": "Container",
            "min": {"cpu": "50m"}, "max": {"memory": "64Mi"}, "maxLimitRequestRatio": {"memory": "2"},
        }]},
    }));
    let session = desk.connect(&["--namespace", &room.name]);
    let container = &agent_pod(desk, &room)["spec"]["containers"][0];
    assert_eq!(
        container["resources"]["requests"],
        json!({"cpu": "50m", "memory": "32Mi"})
    );
    assert_eq!(container["resources"]["limits"], json!({"memory": "64Mi"}));
    session.disconnect();
}

/// A limit that is demanded, probes, and no sysctl.
fn rules_that_do_not_say_what_they_ask_for_are_met(desk: &Desk<'_>) {
    let room = Room::new(desk, "unsaid");
    let expressions = [
        "object.spec.containers.all(c, has(c.resources.limits) && 'cpu' in c.resources.limits)",
        "object.spec.containers.all(c, has(c.livenessProbe))",
        "!has(object.spec.securityContext.sysctls)",
    ];
    let _rule = Rule::refusing(
        desk,
        &room,
        "slipway-test-unsaid",
        &expressions
            .map(|expression| format!("({expression})"))
            .join(" && "),
        "pods of this house are different",
    );
    let session = desk.connect(&["--namespace", &room.name]);
    assert!(desk.page("http://web.shop.svc.cluster.local").is_some());
    session.disconnect();
}

fn a_rule_about_labels_is_met_by_the_named_setting(desk: &Desk<'_>) {
    let room = Room::new(desk, "labels");
    let rule = Rule::refusing(
        desk,
        &room,
        "slipway-test-team",
        "has(object.metadata.labels) && 'team' in object.metadata.labels",
        "every pod has the label team",
    );
    let failure = Attempt::connect(desk, &["--namespace", &room.name]).fails(REFUSED);
    failure.is(
        "agent-refused",
        &["every pod has the label team", rule.name],
        &["`--agent-label KEY=VALUE`", "`labels` of `[agent]`"],
    );
    desk.connect(&["--namespace", &room.name, "--agent-label", "team=shop"])
        .disconnect();

    // The same in a profile, which cannot take the agent from Slipway.
    let ours = SavedProfile::try_create(desk, "ours", &["--agent-label", "app.kubernetes.io/name=mine"]);
    assert!(ours.is_none(), "the label is Slipway's");
    let labeled = SavedProfile::try_create(desk, "labeled", &["--agent-label", "team=shop"]).unwrap();
    let session = desk.connect(&[labeled.name, "--namespace", &room.name]);
    let labels = &agent_pod(desk, &room)["metadata"]["labels"];
    assert_eq!(labels["team"], "shop");
    assert_eq!(labels["app.kubernetes.io/name"], "slipway-agent");
    session.disconnect();
}

/// A profile, deleted when this is dropped.
struct SavedProfile<'a> {
    desk: &'a Desk<'a>,
    name: &'static str,
}

impl<'a> SavedProfile<'a> {
    /// Saves a profile; `None` if it is refused.
    fn try_create(desk: &'a Desk<'a>, name: &'static str, arguments: &[&str]) -> Option<SavedProfile<'a>> {
        let create = [&["profiles", "create", name], arguments].concat();
        let created = desk.slipway(&create).output().unwrap();
        created.status.success().then_some(SavedProfile { desk, name })
    }
}

impl Drop for SavedProfile<'_> {
    fn drop(&mut self) {
        let _ = self.desk.slipway(&["profiles", "delete", self.name]).output();
    }
}

/// In each way a session can end.
fn an_agent_beside_added_containers_ends_with_its_pod(desk: &Desk<'_>) {
    let room = Room::new(desk, "mesh");
    let _mesh = Rule::adding_a_container(desk, &room, "slipway-test-mesh");
    let ends: [fn(Session<'_>); 2] = [|session| session.disconnect(), |session| session.kill()];
    for end in ends {
        let session = desk.connect(&["--namespace", &room.name]);
        let pod = agent_pod(desk, &room);
        assert_eq!(pod["spec"]["containers"].as_array().unwrap().len(), 2, "{pod}");
        end(session);
        until_within(COLLECTED, "Job and pod are gone", || room.agents().is_empty()).unwrap();
    }
}

/// An ended agent in a pod that runs on, as a node leaves it whose runtime does not share processes.
fn cleanup_takes_an_ended_agent_at_once(desk: &Desk<'_>) {
    let room = Room::new(desk, "ended");
    let restricted = json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});
    let container = |name: &str, command: &[&str]| {
        json!({
            "name": name, "image": "busybox", "imagePullPolicy": "IfNotPresent", "command": command,
            "securityContext": restricted,
        })
    };
    let labels =
        json!({"app.kubernetes.io/name": "slipway-agent", "app.kubernetes.io/managed-by": "slipway"});
    room.add(json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "slipway-agent-ended", "labels": labels},
        "spec": {"backoffLimit": 0, "ttlSecondsAfterFinished": 0, "template": {
            "metadata": {"labels": labels},
            "spec": {
                "restartPolicy": "Never", "terminationGracePeriodSeconds": 1,
                "securityContext": {
                    "runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [container("agent", &["true"]), container("mesh", &["sleep", "3600"])],
            },
        }},
    }));
    until_within(COLLECTED, "the agent has ended", || {
        let ended = &agent_pod(desk, &room)["status"]["containerStatuses"];
        let mut ended = ended.as_array().into_iter().flatten();
        ended.any(|one| one["name"] == "agent" && one["state"].get("terminated").is_some())
    })
    .unwrap();
    assert!(!room.agents().is_empty(), "the other container keeps it");
    let slipway = program("slipway");
    let cleanup = ["cleanup", "--yes", "--namespace", &room.name];
    let said = desk.text(path_text(&slipway), &cleanup);
    assert!(said.contains("Job slipway-agent-ended, which ended"), "{said}");
    until_within(COLLECTED, "Job and pod are gone", || room.agents().is_empty()).unwrap();
}

/// Returns the agent's pod in a room; null if there is none.
pub(crate) fn agent_pod(desk: &Desk<'_>, room: &Room<'_>) -> Value {
    let selector = "--selector=app.kubernetes.io/name=slipway-agent";
    let listed = [
        "get",
        "pods",
        selector,
        "--output=json",
        "--namespace",
        &room.name,
    ];
    let mut listed: Value = serde_json::from_str(&desk.kubectl(&listed)).unwrap();
    listed["items"][0].take()
}

/// A rule of the cluster about the pods of one room, removed when this is dropped.
pub(crate) struct Rule<'a> {
    desk: &'a Desk<'a>,
    kind: &'static str,
    pub(crate) name: &'static str,
}

impl<'a> Rule<'a> {
    /// Refuses pods that do not meet a CEL expression.
    pub(crate) fn refusing(
        desk: &'a Desk<'a>,
        room: &Room<'_>,
        name: &'static str,
        expression: &str,
        message: &str,
    ) -> Rule<'a> {
        let spec = json!({
            "failurePolicy": "Fail",
            "matchConstraints": matched(),
            "validations": [{"expression": expression, "message": message}],
        });
        let binding =
            json!({"policyName": name, "validationActions": ["Deny"], "matchResources": only(room)});
        let rule = Rule::make(desk, "v1", "Validating", name, spec, binding);
        room.until_a_pod_is_refused(message);
        rule
    }

    /// Adds a container that never ends by itself, as service meshes do.
    fn adding_a_container(desk: &'a Desk<'a>, room: &Room<'_>, name: &'static str) -> Rule<'a> {
        let container = "Object.spec.containers{name: 'mesh', image: 'busybox', imagePullPolicy: 'IfNotPresent', \
                         command: ['sleep', '3600'], securityContext: Object.spec.containers.securityContext{\
                         runAsUser: 1337, allowPrivilegeEscalation: false, capabilities: \
                         Object.spec.containers.securityContext.capabilities{drop: ['ALL']}}}";
        let patch = format!("[JSONPatch{{op: 'add', path: '/spec/containers/-', value: {container}}}]");
        let spec = json!({
            "failurePolicy": "Fail",
            "reinvocationPolicy": "Never",
            "matchConstraints": matched(),
            "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": patch}}],
        });
        let binding = json!({"policyName": name, "matchResources": only(room)});
        let rule = Rule::make(desk, "v1beta1", "Mutating", name, spec, binding);
        room.until_a_pod_has("\"mesh\"");
        rule
    }

    fn make(
        desk: &'a Desk<'a>,
        version: &str,
        kind: &'static str,
        name: &'static str,
        spec: Value,
        binding: Value,
    ) -> Rule<'a> {
        let rule = Rule { desk, kind, name };
        for (suffix, spec) in [("", spec), ("Binding", binding)] {
            apply(
                desk,
                &json!({
                    "apiVersion": format!("admissionregistration.k8s.io/{version}"),
                    "kind": format!("{kind}AdmissionPolicy{suffix}"),
                    "metadata": {"name": name},
                    "spec": spec,
                }),
            );
        }
        rule
    }
}

impl Drop for Rule<'_> {
    fn drop(&mut self) {
        for suffix in ["", "Binding"] {
            let kind = format!("{}AdmissionPolicy{suffix}", self.kind);
            let _ = self.desk.bed.kubectl(["delete", &kind, self.name]).output();
        }
    }
}

/// The creation of pods.
fn matched() -> Value {
    json!({"resourceRules": [{
        "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"],
    }]})
}

/// The namespace of a room.
fn only(room: &Room<'_>) -> Value {
    json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": room.name}}})
}
