//! Namespace of one test, with permissions of the developer that the test sets.

use std::process::Output;

use serde_json::{Value, json};
use slipway_cluster_tests::{Desk, until};

use crate::support::{apply, apply_text};

/// Verb, group and resource of all permissions that a session needs, as in the README.
const ROLE: &[(&str, &str, &str)] = &[
    ("create", "batch", "jobs"),
    ("delete", "batch", "jobs"),
    ("list", "batch", "jobs"),
    ("list", "", "pods"),
    ("watch", "", "pods"),
    ("create", "", "pods/exec"),
    ("get", "", "pods/exec"),
    ("create", "", "pods/portforward"),
    ("get", "", "pods/portforward"),
    ("list", "", "events"),
    ("watch", "", "events"),
];

/// A namespace, deleted when this is dropped.
pub(crate) struct Room<'a> {
    desk: &'a Desk<'a>,
    pub(crate) name: String,
}

impl<'a> Room<'a> {
    /// Creates a namespace with the README's Role for the developer.
    pub(crate) fn new(desk: &'a Desk<'a>, name: &str) -> Room<'a> {
        let name = format!("errors-{name}");
        let room = Room { desk, name };
        room.furnish(&json!({}));
        room
    }

    /// Creates a namespace with annotations.
    pub(crate) fn annotated(desk: &'a Desk<'a>, name: &str, annotations: &Value) -> Room<'a> {
        let name = format!("errors-{name}");
        let room = Room { desk, name };
        room.furnish(annotations);
        room
    }

    fn furnish(&self, annotations: &Value) {
        let metadata = json!({
            "name": self.name,
            "annotations": annotations,
            "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
        });
        apply(
            self.desk,
            &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}),
        );
        self.grant_without(&[]);
        apply(
            self.desk,
            &json!({
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "RoleBinding",
                "metadata": {"name": "developer", "namespace": self.name},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "developer"},
                "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "developer"}],
            }),
        );
        until("the namespace has its service account", || {
            let accounts = [
                "get",
                "serviceaccounts",
                "--output=name",
                "--namespace",
                &self.name,
            ];
            self.desk.kubectl(&accounts).contains("default")
        })
        .unwrap();
        self.until_granted("list", "events");
    }

    /// Removes permissions from the developer.
    pub(crate) fn grant_without(&self, missing: &[(&str, &str)]) {
        let rules: Vec<Value> = ROLE
            .iter()
            .filter(|(verb, _, resource)| !missing.contains(&(*verb, *resource)))
            .map(|(verb, group, resource)| json!({"apiGroups": [group], "resources": [resource], "verbs": [verb]}))
            .collect();
        apply(
            self.desk,
            &json!({
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "Role",
                "metadata": {"name": "developer", "namespace": self.name},
                "rules": rules,
            }),
        );
        for (verb, resource) in missing {
            let denied = format!("the developer may not {verb} {resource} any more");
            until(&denied, || !self.may(verb, resource)).unwrap();
        }
    }

    fn until_granted(&self, verb: &str, resource: &str) {
        until("the developer has a Role", || self.may(verb, resource)).unwrap();
    }

    /// Whether the API server's authorizer, which sees a changed Role a moment later, allows a verb.
    fn may(&self, verb: &str, resource: &str) -> bool {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let subresource = format!("--subresource={subresource}");
        let asked = [
            "auth",
            "can-i",
            verb,
            resource,
            &subresource,
            "--as=developer",
            "--namespace",
        ];
        let mut command = self
            .desk
            .bed
            .kubectl(asked.iter().copied().chain([self.name.as_str()]));
        command.output().unwrap().status.success()
    }

    /// Adds an object to the namespace.
    pub(crate) fn add(&self, mut object: Value) {
        object["metadata"]["namespace"] = json!(self.name);
        apply(self.desk, &object);
    }

    /// Adds an object from YAML.
    pub(crate) fn add_text(&self, yaml: &str) {
        apply_text(self.desk, yaml);
        self.until_granted("list", "pods");
    }

    /// Waits until the cluster applies a rule that refuses pods here.
    pub(crate) fn until_a_pod_is_refused(&self, words: &str) {
        until("the rule holds", || {
            String::from_utf8_lossy(&self.try_a_pod().stderr).contains(words)
        })
        .unwrap();
    }

    /// Waits until the cluster applies a rule that changes pods here.
    pub(crate) fn until_a_pod_has(&self, words: &str) {
        until("the rule holds", || {
            String::from_utf8_lossy(&self.try_a_pod().stdout).contains(words)
        })
        .unwrap();
    }

    /// Asks the API server what it makes of a pod, without creating it.
    fn try_a_pod(&self) -> Output {
        let restricted = json!({"spec": {
            "securityContext": {
                "runAsNonRoot": true, "runAsUser": 1, "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [{
                "name": "probe", "image": "busybox",
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            }],
        }});
        let shape = format!("--overrides={restricted}");
        let run = [
            "run",
            "probe",
            "--image=busybox",
            "--dry-run=server",
            "--output=json",
            &shape,
            "--namespace",
            &self.name,
        ];
        self.desk.bed.kubectl(run).output().unwrap()
    }

    /// Returns the names of the agents' Jobs and pods here.
    pub(crate) fn agents(&self) -> String {
        let selector = "--selector=app.kubernetes.io/name=slipway-agent";
        let listed = [
            "get",
            "jobs,pods",
            selector,
            "--output=name",
            "--namespace",
            &self.name,
        ];
        self.desk.kubectl(&listed)
    }

    /// Whether no Job or pod was ever created here, by the events.
    pub(crate) fn has_seen_nothing(&self) -> bool {
        let events = ["get", "events", "--output=name", "--namespace", &self.name];
        self.desk.kubectl(&events).is_empty()
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        let delete = ["delete", "namespace", "--wait=false", &self.name];
        let _ = self.desk.bed.kubectl(delete).output();
    }
}
