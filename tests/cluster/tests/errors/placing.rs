//! Clusters that accept the user, but not the agent.

use std::time::Duration;

use serde_json::json;
use slipway_cluster_tests::{CONNECTING, Desk, on_the_plain_laptop, until_within};

use crate::room::Room;
use crate::rules::Rule;
use crate::support::{AT_ONCE, Attempt, COLLECTED};

on_the_plain_laptop!(
    a_forbidden_verb_is_reported_with_the_needed_role,
    the_reported_role_is_enough,
    a_full_quota_is_reported_with_its_own_text,
    a_refusing_admission_rule_is_reported_with_its_text,
    an_image_that_cannot_be_pulled_is_reported,
    without_a_node_the_schedulers_text_is_shown,
    a_missing_namespace_is_named,
);

/// How long the cluster may take to show that a pod will not start.
const SHOWN: Duration = Duration::from_secs(45);

/// How long a busy machine may take to report the first failure of a pull.
const FIRST_PULL: Duration = Duration::from_secs(9);

fn a_forbidden_verb_is_reported_with_the_needed_role(desk: &Desk<'_>) {
    let room = Room::new(desk, "verbs");
    for (verb, resource, shown) in [
        ("create", "jobs", "create jobs (batch)"),
        ("list", "pods", "list pods"),
        ("watch", "pods", "watch pods"),
        ("get", "pods/exec", "get pods/exec"),
    ] {
        room.grant_without(&[(verb, resource)]);
        let failure = Attempt::connect(desk, &["--namespace", &room.name]).fails(AT_ONCE);
        let cause = format!("You may not {shown} in namespace {}.", room.name);
        let role = format!(
            "kind: Role\nmetadata:\n  name: slipway\n  namespace: {}",
            room.name
        );
        // The printed remedy is indented.
        let remedy = failure.remedy.replace("\n  ", "\n");
        failure.is("forbidden", &[&cause], &["administrator"]);
        assert!(remedy.contains(&role), "{remedy}");
        assert!(room.has_seen_nothing(), "nothing was made for {verb} {resource}");
        let findings = Attempt::new(desk, &["doctor", "--json", "--namespace", &room.name]).findings(true);
        let found: Vec<_> = findings
            .bad("permission")
            .iter()
            .map(|bad| bad["detail"].clone())
            .collect();
        assert_eq!(found.len(), 2, "the verb, and what follows: {found:?}");
        assert_eq!(found[0], cause.as_str());
    }
}

fn the_reported_role_is_enough(desk: &Desk<'_>) {
    let room = Room::new(desk, "role");
    room.grant_without(&[("create", "jobs"), ("list", "pods")]);
    let failure = Attempt::connect(desk, &["--namespace", &room.name]).fails(AT_ONCE);
    let (_, role) = failure
        .remedy
        .split_once("\n\n")
        .expect("a Role below the sentence");
    let role: String = role
        .lines()
        .map(|line| line.strip_prefix("  ").unwrap_or(line))
        .fold(String::new(), |role, line| role + line + "\n");
    let binding = "name: NAME  # as `kubectl auth whoami` shows it";
    assert!(role.contains(binding), "{role}");
    // The administrator fills in the user's name.
    let role = role
        .replace("name: slipway", "name: developer")
        .replace(binding, "name: developer");
    room.add_text(&role);
    let session = desk.connect(&["--namespace", &room.name]);
    session.disconnect();
    // A session that looks for an existing agent reports the same.
    room.grant_without(&[("list", "pods")]);
    let failure = Attempt::connect(desk, &["--namespace", &room.name]).fails(AT_ONCE);
    failure.is("forbidden", &["list pods"], &["kind: Role", &room.name]);
}

fn a_full_quota_is_reported_with_its_own_text(desk: &Desk<'_>) {
    let room = Room::new(desk, "quota");
    room.add(json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "frugal"},
        "spec": {"hard": {"pods": "0"}},
    }));
    let failure = Attempt::connect(desk, &["--namespace", &room.name]).fails(SHOWN);
    failure.is("quota", &["exceeded quota: frugal"], &["one pod", "10m CPU"]);
}

fn a_refusing_admission_rule_is_reported_with_its_text(desk: &Desk<'_>) {
    let room = Room::new(desk, "admission");
    let rule = Rule::refusing(
        desk,
        &room,
        "slipway-test-no-tunnels",
        "false",
        "no tunnels in this house",
    );
    let failure = Attempt::connect(desk, &["--namespace", &room.name]).fails(SHOWN);
    failure.is(
        "agent-refused",
        &["no tunnels in this house", rule.name],
        &["administrator about this rule"],
    );
}

fn an_image_that_cannot_be_pulled_is_reported(desk: &Desk<'_>) {
    let room = Room::new(desk, "image");
    let image = "registry.invalid/nobody/nothing:1";
    let arguments = ["--namespace", &room.name, "--agent-image", image];
    let failure = Attempt::connect(desk, &arguments).fails(SHOWN);
    failure.is(
        "agent-image",
        &[image, "failed to pull", "registry.invalid"],
        &["--agent-image"],
    );
    // The node reports the first failure after a moment, and tries again only some ten seconds later.
    assert!(failure.took < FIRST_PULL, "{failure:?}");
}

/// A wait for a node takes as long as an autoscaler does, so the text must be there before its end.
fn without_a_node_the_schedulers_text_is_shown(desk: &Desk<'_>) {
    // An annotation of the namespace sends its pods to nodes of another architecture, of which there are none.
    let elsewhere = json!({"scheduler.alpha.kubernetes.io/node-selector": "slipway.dev/kind=arm64"});
    let room = Room::annotated(desk, "nodes", &elsewhere);
    let session = desk.start_connecting(&["--namespace", &room.name]);
    let mut step = String::new();
    until_within(SHOWN, "the scheduler's text is shown", || {
        step = session
            .status()
            .and_then(|status| Some(status["step"].as_str()?.to_owned()))
            .unwrap_or_default();
        step.contains("0/1 nodes are available") && step.contains("node affinity/selector")
    })
    .unwrap_or_else(|why| panic!("{why}: {step}"));
    assert_eq!(session.state().as_deref(), Some("placing"));
    assert!(!room.agents().is_empty(), "the pod waits for a node");
    session.disconnect();
    until_within(COLLECTED, "the pod without a node is removed", || {
        room.agents().is_empty()
    })
    .unwrap();
}

fn a_missing_namespace_is_named(desk: &Desk<'_>) {
    let admin = "/home/dev/.kube/admin";
    let arguments = ["--kubeconfig", admin, "--namespace", "nowhere"];
    let failure = Attempt::connect(desk, &arguments).fails(CONNECTING);
    failure.is("namespace-missing", &["nowhere"], &["another namespace"]);
}
