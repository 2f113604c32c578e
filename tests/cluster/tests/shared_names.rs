//! Names that two sessions can answer: the session that connected first answers. With systemd-resolved this holds only
//! for names with a dot, because it completes short names itself, once for each session.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use slipway_cluster_tests::{CONNECTING, Desk, on_the_plain_laptop, until_within};

on_the_plain_laptop!(a_shared_name_is_answered_by_the_older_session);

fn a_shared_name_is_answered_by_the_older_session(desk: &Desk<'_>) {
    let name = "both";
    let services = [("shop", "web"), ("dev", "a")];
    let services = services.map(|(namespace, app)| Service::make(desk, name, namespace, app));
    assert!(!desk.resolves(name), "not reachable before");
    for (first, second) in [(0, 1), (1, 0)] {
        let (first, second) = (&services[first], &services[second]);
        let older = desk.connect(&first.connect());
        assert_eq!(resolved(desk, name), first.address, "it is alone");
        let younger = desk.start_connecting(&second.connect());
        let both_connected = || {
            assert!(younger.running.is_alive(), "{}", younger.running.said());
            let status = desk.status();
            status.len() == 2 && status.iter().all(|session| session["state"] == "connected")
        };
        until_within(CONNECTING, "both sessions are connected", both_connected).unwrap();
        for _ in 0..3 {
            assert_eq!(
                resolved(desk, name),
                first.address,
                "{} is older",
                first.namespace
            );
        }
        let explained = desk.slipway(&["explain", name]).output().unwrap();
        let explained = String::from_utf8_lossy(&explained.stdout).into_owned();
        assert!(explained.contains(&first.address), "{explained}");
        older.disconnect();
        assert_eq!(resolved(desk, name), second.address, "it alone is left");
        younger.disconnect();
    }
    assert!(!desk.resolves(name), "not reachable after");
}

/// Returns the address that programs get.
fn resolved(desk: &Desk<'_>, name: &str) -> String {
    let found = desk.output("getent", &["ahostsv4", name]);
    let found = String::from_utf8(found.stdout).unwrap();
    found.split_whitespace().next().unwrap_or("nothing").to_owned()
}

/// A service of the test, deleted when this is dropped.
struct Service<'a> {
    desk: &'a Desk<'a>,
    name: String,
    namespace: &'static str,
    address: String,
}

impl Service<'_> {
    fn make<'a>(desk: &'a Desk<'a>, name: &str, namespace: &'static str, app: &str) -> Service<'a> {
        desk.apply(&format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: {namespace}}}\n\
             spec: {{selector: {{app: {app}}}, ports: [{{port: 80}}]}}\n"
        ));
        let jsonpath = "jsonpath={.spec.clusterIP}";
        let get = [
            "get",
            "service",
            name,
            "--namespace",
            namespace,
            "--output",
            jsonpath,
        ];
        let address = desk.kubectl(&get);
        Service {
            desk,
            name: name.to_owned(),
            namespace,
            address,
        }
    }
}

impl Service<'_> {
    /// Returns the arguments of a session in its namespace, for the administrator, who may place agents everywhere.
    fn connect(&self) -> [&str; 4] {
        [
            "--kubeconfig",
            "/home/dev/.kube/admin",
            "--namespace",
            self.namespace,
        ]
    }
}

impl Drop for Service<'_> {
    fn drop(&mut self) {
        let delete = ["delete", "service", &self.name, "--namespace", self.namespace];
        self.desk.kubectl(&delete);
    }
}
