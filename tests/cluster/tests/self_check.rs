//! Sessions that are connected while nothing works: the self-check from the agent's side finds it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::time::Duration;

use serde_json::Value;
use slipway_cluster_tests::{
    Desk, LaptopFile, NodeRule, Session, on_the_plain_laptop, problems, until_within,
};

on_the_plain_laptop!(
    blocked_traffic_is_reported_with_its_network_policy,
    a_cluster_dns_without_pods_is_reported,
    another_cluster_domain_is_reported,
);

/// How long the self-check may take: twice a question and a connection without an answer, and an interval.
const CHECKED: Duration = Duration::from_secs(60);

/// Waits for a problem, and returns its cause.
fn cause(session: &Session<'_>, code: &str) -> String {
    let found = || {
        let status = session.status()?;
        let listed = status["problems"].as_array()?.iter();
        let problem = listed.into_iter().find(|problem| problem["code"] == code)?;
        problem["cause"].as_str().map(str::to_owned)
    };
    until_within(CHECKED, &format!("{code} is reported"), || found().is_some()).unwrap_or_else(|why| {
        panic!(
            "{why}: {:?}",
            session.status().map(|status| status["problems"].clone())
        );
    });
    found().unwrap()
}

/// Returns the exit code and the findings of the doctor for a place.
fn doctor(desk: &Desk<'_>, place: &[&str]) -> (Option<i32>, Vec<Value>) {
    let output = desk
        .slipway(&[&["doctor", "--json"], place].concat())
        .output()
        .unwrap();
    let findings =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (output.status.code(), findings)
}

fn is_withdrawn(session: &Session<'_>) {
    until_within(CHECKED, "the problem is withdrawn", || {
        problems(&session.status().unwrap()).is_empty()
    })
    .unwrap();
}

/// The administrator's kubeconfig, with which everything may be read.
fn everything<'a>(desk: &'a Desk<'a>) -> LaptopFile<'a> {
    LaptopFile::kubeconfig_of(desk, "admin", |_: &mut Value| {})
}

/// A network policy for agents. The bed's pod network enforces none.
struct Policy<'a>(&'a Desk<'a>);

impl<'a> Policy<'a> {
    fn begin(desk: &'a Desk<'a>) -> Policy<'a> {
        desk.apply(
            "apiVersion: networking.k8s.io/v1\n\
             kind: NetworkPolicy\n\
             metadata: {name: test-no-egress, namespace: shop}\n\
             spec:\n  \
               podSelector: {matchLabels: {app.kubernetes.io/name: slipway-agent}}\n  \
               policyTypes: [Egress]\n",
        );
        Policy(desk)
    }
}

impl Drop for Policy<'_> {
    fn drop(&mut self) {
        let delete = ["--namespace", "shop", "delete", "networkpolicy", "test-no-egress"];
        let _ = self.0.bed.kubectl(delete).output();
    }
}

fn blocked_traffic_is_reported_with_its_network_policy(desk: &Desk<'_>) {
    let kubeconfig = everything(desk);
    let connect = [
        "--kubeconfig",
        &kubeconfig.path,
        "--namespace",
        "shop",
        "--agent-grace",
        "60",
    ];
    let session = desk.connect(&connect);
    assert_eq!(problems(&session.status().unwrap()), [""; 0]);
    let agent = session.agent_address();
    session.disconnect();
    let _policy = Policy::begin(desk);
    let blocked = NodeRule::on(
        desk,
        "blocked",
        "prerouting priority -300",
        &format!("ip saddr {agent} drop"),
    );
    // Again with that agent, so that its traffic is blocked from the beginning.
    let session = desk.connect(&connect);
    let cause = cause(&session, "agent-blocked");
    assert!(cause.contains("The network policy `test-no-egress`"), "{cause}");
    let said = session.running.said();
    assert!(said.contains("Note: The agent's traffic is blocked"), "{said}");
    let place = &connect[..4];
    let (code, findings) = doctor(desk, place);
    assert_eq!(code, Some(255), "{findings:#?}");
    let finding = findings.iter().find(|finding| finding["code"] == "agent-blocked");
    let finding = finding.unwrap_or_else(|| panic!("{findings:#?}"));
    assert_eq!(
        (&finding["check"], &finding["verdict"]),
        (&"session".into(), &"fail".into())
    );
    let remedy = finding["remedy"].as_str().unwrap();
    assert!(remedy.contains("describe networkpolicies"), "{remedy}");
    drop(blocked);
    is_withdrawn(&session);
    let (code, findings) = doctor(desk, place);
    assert_eq!(code, Some(0), "{findings:#?}");
    let mut of_session = findings.iter().filter(|finding| finding["check"] == "session");
    assert_eq!(of_session.next().unwrap()["verdict"], "ok", "{findings:#?}");
    assert_eq!(of_session.next(), None);
    session.disconnect();
}

/// The cluster's DNS with no pod, until this is dropped.
struct WithoutDns<'a>(&'a Desk<'a>);

impl<'a> WithoutDns<'a> {
    fn begin(desk: &'a Desk<'a>) -> WithoutDns<'a> {
        let without = WithoutDns(desk);
        without.scale("0");
        desk.kubectl(&[
            "--namespace=kube-system",
            "wait",
            "pods",
            "--selector=k8s-app=kube-dns",
            "--for=delete",
            "--timeout=30s",
        ]);
        without
    }

    fn scale(&self, replicas: &str) {
        let replicas = format!("--replicas={replicas}");
        self.0.kubectl(&[
            "--namespace=kube-system",
            "scale",
            "deployment/coredns",
            &replicas,
        ]);
    }
}

impl Drop for WithoutDns<'_> {
    fn drop(&mut self) {
        self.scale("1");
        let rollout = [
            "--namespace=kube-system",
            "rollout",
            "status",
            "deployment/coredns",
        ];
        self.0.kubectl(&rollout);
    }
}

fn a_cluster_dns_without_pods_is_reported(desk: &Desk<'_>) {
    let _locks = desk.alone();
    let kubeconfig = everything(desk);
    let without = WithoutDns::begin(desk);
    let session = desk.connect(&["--kubeconfig", &kubeconfig.path, "--namespace", "shop"]);
    let cause = cause(&session, "cluster-dns-silent");
    assert!(
        cause.contains("namespace kube-system has no pod of it"),
        "{cause}"
    );
    drop(without);
    is_withdrawn(&session);
    session.disconnect();
}

fn another_cluster_domain_is_reported(desk: &Desk<'_>) {
    let session = desk.connect(&["--cluster-domain", "other.example"]);
    let cause = cause(&session, "cluster-domain-not-served");
    assert!(
        cause.contains("`kubernetes.default.svc.other.example`"),
        "{cause}"
    );
    session.disconnect();
}
