//! Findings of the doctor on a working laptop, and on laptops with broken DNS.

use slipway_cluster_tests::{CONNECTING, Desk, on_the_plain_laptop, until};

use crate::room::Room;
use crate::support::{AT_ONCE, Attempt, jobs_made};

on_the_plain_laptop!(
    no_check_fails_on_a_working_laptop,
    every_step_of_a_check_ends,
    programs_that_never_ask_dns_are_a_finding,
    an_unreadable_resolv_conf_is_found_before_placing,
    a_misspelled_namespace_is_found_with_a_similar_one,
    without_port_forward_a_session_uses_exec,
);

fn no_check_fails_on_a_working_laptop(desk: &Desk<'_>) {
    let findings = Attempt::new(desk, &["doctor", "--json"]).findings(false);
    for check in [
        "kernel",
        "tun",
        "helper",
        "resolver",
        "method",
        "kubeconfig",
        "api-server",
        "permission",
    ] {
        assert!(findings.has(check), "{check} is not looked at: {findings:#?}");
    }
    let text = desk.text(
        slipway_cluster_tests::program("slipway").to_str().unwrap(),
        &["doctor"],
    );
    assert!(
        text.contains("ok    API server") && !text.contains("FAIL"),
        "{text}"
    );
}

fn every_step_of_a_check_ends(desk: &Desk<'_>) {
    let output = desk
        .slipway(&["doctor", "--json-lines", "--all-methods"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "a method works: {text}");
    let events: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let steps = events[0]["value"]["steps"].as_array().unwrap();
    for step in steps {
        let ended = events.iter().any(|event| {
            event["event"] == "step" && event["value"]["check"] == *step && event["value"]["state"] == "ended"
        });
        assert!(ended, "{step} has not ended: {text}");
    }
    let summary = &events.last().unwrap()["value"];
    let works: Vec<_> = summary["methods"].as_array().unwrap().iter().collect();
    assert_eq!(works[0]["works"], true, "{summary}");
    for other in &works[1..] {
        assert_eq!(other["code"], "method-not-yet", "{summary}");
    }
}

/// A changed file of the laptop, restored when this is dropped.
struct Changed<'a> {
    desk: &'a Desk<'a>,
    path: &'static str,
}

impl<'a> Changed<'a> {
    fn new(desk: &'a Desk<'a>, path: &'static str, change: &[&str]) -> Changed<'a> {
        desk.as_root("cp", &["--archive", path, &format!("{path}.before")]);
        let changed = Changed { desk, path };
        desk.as_root(change[0], &change[1..]);
        changed
    }
}

impl Drop for Changed<'_> {
    fn drop(&mut self) {
        let before = format!("{}.before", self.path);
        self.desk.as_root("mv", &["-f", &before, self.path]);
    }
}

fn programs_that_never_ask_dns_are_a_finding(desk: &Desk<'_>) {
    let path = "/etc/nsswitch.conf";
    let _changed = Changed::new(desk, path, &["sed", "-i", "s/^hosts:.*/hosts: files/", path]);
    let findings = Attempt::new(desk, &["doctor", "--json"]).findings(true);
    let found = findings.bad("resolver");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0]["detail"].as_str().unwrap().contains("hosts: files"),
        "{found:?}"
    );
    assert!(found[0]["remedy"].as_str().unwrap().contains("dns"), "{found:?}");

    // A session finds this only after everything else is set up. It then removes the agent at once, and does not leave it
    // to its grace, which no other test has, so that the session does not find another one's agent.
    let jobs = jobs_made(desk);
    let failure = Attempt::new(desk, &["connect", "--agent-grace", "77"]).fails(CONNECTING);
    failure.is(
        "dns-self-test",
        &["do not ask Slipway for names"],
        &["slipway doctor"],
    );
    until("the cluster tells that an agent was placed", || {
        jobs_made(desk) > jobs
    })
    .unwrap();
}

fn an_unreadable_resolv_conf_is_found_before_placing(desk: &Desk<'_>) {
    let path = "/etc/resolv.conf";
    // The helper's user then cannot read it.
    let _changed = Changed::new(desk, path, &["chmod", "0600", path]);
    let jobs = jobs_made(desk);
    let failure = Attempt::connect(desk, &[]).fails(AT_ONCE);
    failure.is(
        "dns-unavailable",
        &["/etc/resolv.conf cannot be read"],
        &["Restore /etc/resolv.conf"],
    );
    assert_eq!(jobs_made(desk), jobs, "nothing was placed");
    let findings = Attempt::new(desk, &["doctor", "--json"]).findings(true);
    findings.one("helper", "fail", "dns-unavailable");
}

fn a_misspelled_namespace_is_found_with_a_similar_one(desk: &Desk<'_>) {
    let admin = ["--json", "--kubeconfig", "/home/dev/.kube/admin"];
    let doctor = |namespace| [&["doctor"], &admin[..], &["--namespace", namespace]].concat();
    let findings = Attempt::new(desk, &doctor("shpo")).findings(true);
    let found = findings.one("namespace", "fail", "namespace-missing");
    let remedy = found["remedy"].as_str().unwrap();
    assert!(remedy.starts_with("Did you mean shop?"), "{found}");
    let action = serde_json::json!([{"do": "use-namespace", "namespace": "shop"}]);
    assert_eq!(found["actions"], action);
    assert!(
        Attempt::new(desk, &doctor("shop"))
            .findings(false)
            .has("namespace")
    );
    // The developer may not read namespaces.
    let unknown = Attempt::new(desk, &["doctor", "--json"]).findings(false);
    let details = unknown.details("namespace");
    assert!(details[0].starts_with("It is not known whether"), "{details:?}");
}

fn without_port_forward_a_session_uses_exec(desk: &Desk<'_>) {
    let room = Room::new(desk, "exec");
    room.grant_without(&[("create", "pods/portforward"), ("get", "pods/portforward")]);
    let findings = Attempt::new(desk, &["doctor", "--json", "--namespace", &room.name]).findings(false);
    let details = findings.details("permission");
    let forbidden: Vec<_> = details
        .iter()
        .filter(|detail| detail.contains("pods/portforward"))
        .collect();
    assert_eq!(forbidden.len(), 2, "{details:?}");
    let session = desk.connect(&["--namespace", &room.name]);
    assert!(desk.resolves("web.shop.svc"));
    session.disconnect();
}
