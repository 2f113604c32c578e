//! A namespace of a test's own, in which the developer may do what the test says.

use serde_json::{Value, json};
use slipway_cluster_tests::{Desk, until};

use crate::support::{apply, apply_text};

/// Verb, group and resource of everything that a session needs, by the README.
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

/// The namespace, deleted with this.
pub(crate) struct Room<'a> {
    desk: &'a Desk<'a>,
    pub(crate) name: String,
}

impl<'a> Room<'a> {
    /// With the README's Role for the developer.
    pub(crate) fn new(desk: &'a Desk<'a>, name: &str) -> Room<'a> {
        let name = format!("errors-{name}");
        let room = Room { desk, name };
        room.furnish(&json!({}));
        room
    }

    /// The same, with annotations.
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

    /// Takes verbs on resources away from the developer.
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

    /// What the API server's authorizer says, which learns of Roles a moment later.
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

    /// Adds an object that is written as YAML.
    pub(crate) fn add_text(&self, yaml: &str) {
        apply_text(self.desk, yaml);
        self.until_granted("list", "pods");
    }

    /// Waits until the cluster goes by a rule that refuses pods here.
    pub(crate) fn until_a_pod_is_refused(&self, words: &str) {
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
            &shape,
            "--namespace",
            &self.name,
        ];
        until("the rule holds", || {
            let output = self.desk.bed.kubectl(run).output().unwrap();
            String::from_utf8_lossy(&output.stderr).contains(words)
        })
        .unwrap();
    }

    /// Whether a Job or a pod was ever made here: that leaves events.
    pub(crate) fn has_seen_nothing(&self) -> bool {
        let events = ["get", "events", "--output=name", "--namespace", &self.name];
        self.desk.kubectl(&events).is_empty()
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        let delete = ["delete", "namespace", "--wait=false", &self.name];
        let _begun = self.desk.bed.kubectl(delete).output();
    }
}
