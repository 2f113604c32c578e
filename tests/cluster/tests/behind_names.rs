//! Explanations of names whose services do not serve, and lists of the session's namespace.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use serde_json::Value;
use slipway_cluster_tests::{CONNECTING, Desk, Session, on_the_plain_laptop, until_within};

on_the_plain_laptop!(
    explain_says_why_a_service_does_not_serve,
    explain_says_what_it_may_not_look_at,
    lists_are_of_the_sessions_namespace,
);

const ADMIN: &str = "/home/dev/.kube/admin";

/// Services without pods that serve, in a namespace of their own.
const SERVICES: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: behind-names}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: idle, namespace: behind-names}
spec:
  replicas: 0
  selector: {matchLabels: {app: idle}}
  template:
    metadata: {labels: {app: idle}}
    spec: {containers: [{name: idle, image: busybox}]}
---
apiVersion: v1
kind: Service
metadata: {name: idle, namespace: behind-names}
spec: {selector: {app: idle}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: absent, namespace: behind-names}
spec: {clusterIP: None, selector: {app: absent}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Pod
metadata: {name: slow, namespace: behind-names, labels: {app: slow}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: slow
    image: busybox
    imagePullPolicy: IfNotPresent
    command: [sleep, \"3600\"]
    readinessProbe: {exec: {command: [\"false\"]}}
---
apiVersion: v1
kind: Service
metadata: {name: slow, namespace: behind-names}
spec: {clusterIP: None, selector: {app: slow}, ports: [{port: 80}]}
";

/// The services, deleted when this is dropped.
struct Services<'a>(&'a Desk<'a>);

impl<'a> Services<'a> {
    fn add(desk: &'a Desk<'a>) -> Services<'a> {
        desk.apply(SERVICES);
        let services = Services(desk);
        let unready = [
            "--namespace=behind-names",
            "get",
            "endpoints/slow",
            "--ignore-not-found",
            "--output=jsonpath={.subsets[0].notReadyAddresses[0].ip}",
        ];
        until_within(CONNECTING, "the pod runs", || !desk.kubectl(&unready).is_empty()).unwrap();
        services
    }
}

impl Drop for Services<'_> {
    fn drop(&mut self) {
        let delete = ["delete", "namespace", "--wait=false", "behind-names"];
        let _ = self.0.bed.kubectl(delete).output();
    }
}

fn json(desk: &Desk<'_>, arguments: &[&str]) -> Value {
    let output = desk.slipway(&[arguments, &["--json"]].concat()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"))
}

/// Whether a pod finds a name.
fn a_pod_resolves(desk: &Desk<'_>, session: &Session<'_>, name: &str) -> bool {
    let status = session.status().unwrap();
    let pod = status["agent"]["pod"].as_str().unwrap();
    let exec = ["--namespace=shop", "exec", pod, "--", "nslookup", name];
    desk.bed.kubectl(exec).output().unwrap().status.success()
}

fn explain_says_why_a_service_does_not_serve(desk: &Desk<'_>) {
    let _services = Services::add(desk);
    let session = desk.connect(&["--kubeconfig", ADMIN, "--namespace", "shop"]);
    for (service, known) in [("idle", true), ("absent", false), ("slow", false)] {
        let name = format!("{service}.behind-names.svc.cluster.local");
        let found = a_pod_resolves(desk, &session, &name);
        assert_eq!(found, known, "the cluster's DNS: {name}");
    }
    for (name, verdict, cause) in [
        ("web:80", "serves", "`web.shop.svc.cluster.local` in the cluster."),
        (
            "http://web",
            "serves",
            "`web.shop.svc.cluster.local` in the cluster.",
        ),
        ("web:8080", "no-port", "no port 8080; it has 80/TCP"),
        (
            "idle.behind-names",
            "scaled-to-zero",
            "No pod stands behind service `idle`: deployment `idle` is scaled to 0.",
        ),
        (
            "absent.behind-names",
            "no-pod",
            "is headless, and no pod stands behind it",
        ),
        (
            "slow.behind-names",
            "not-ready",
            "is headless, and the only pod behind it is not ready",
        ),
        ("idle", "elsewhere", "it exists in namespace `behind-names`"),
        (
            "web.shpo.svc",
            "namespace-missing",
            "There is no namespace `shpo`",
        ),
        ("db-7.db", "no-such-pod", "Service `db` has no pod `db-7`"),
    ] {
        let explained = json(desk, &["explain", name]);
        assert_eq!(explained["backing_verdict"], verdict, "{name}: {explained:#}");
        let said = explained["cause"].as_str().unwrap();
        assert!(said.contains(cause), "{name}: {said}");
    }
    let misspelled = json(desk, &["explain", "web.shpo.svc"]);
    assert_eq!(misspelled["remedy"], "Did you mean namespace `shop`?");
    session.disconnect();
}

/// The developer may read services and pods of `shop`, and nothing in `shop-test`.
fn explain_says_what_it_may_not_look_at(desk: &Desk<'_>) {
    let session = desk.connect(&[]);
    let own = json(desk, &["explain", "web:80"]);
    assert_eq!(own["backing_verdict"], "serves", "its pods are counted: {own:#}");
    let other = json(desk, &["explain", "orders.shop-test.svc:80"]);
    assert_eq!(other["answered_by"], "cluster", "{other:#}");
    assert_eq!(other["backing_verdict"], "unknown", "{other:#}");
    let unread = &other["backing"]["unread"][0]["access"];
    assert_eq!(
        (
            unread["verb"].as_str(),
            unread["resource"].as_str(),
            unread["namespace"].as_str()
        ),
        (Some("get"), Some("services"), Some("shop-test"))
    );
    let text = desk
        .slipway(&["explain", "orders.shop-test.svc:80"])
        .output()
        .unwrap();
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(
        text.contains("Not looked at: you may not get services in namespace shop-test"),
        "{text}"
    );
    let text = desk.slipway(&["explain", "nosuch"]).output().unwrap();
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(
        text.contains("Not looked at: you may not list services in the whole cluster"),
        "other namespaces: {text}"
    );
    session.disconnect();
}

fn lists_are_of_the_sessions_namespace(desk: &Desk<'_>) {
    let names = |list: Value| -> Vec<String> {
        let all = list.as_array().unwrap().iter();
        all.map(|one| one["name"].as_str().unwrap().to_owned()).collect()
    };
    assert!(
        names(json(desk, &["list", "services"])).contains(&"web".to_owned()),
        "the kubeconfig's"
    );
    let session = desk.connect(&["--kubeconfig", ADMIN, "--namespace", "shop-test"]);
    assert_eq!(names(json(desk, &["list", "services"])), ["orders"]);
    let ports = json(desk, &["list", "ports"]);
    let owners: Vec<&str> = ports
        .as_array()
        .unwrap()
        .iter()
        .map(|port| port["owner"].as_str().unwrap())
        .collect();
    assert!(owners.iter().all(|owner| *owner == "orders"), "{ports:#}");
    assert!(names(json(desk, &["list", "services", "--namespace", "shop"])).contains(&"web".to_owned()));
    session.disconnect();
}
