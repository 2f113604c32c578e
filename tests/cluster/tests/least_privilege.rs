//! Sessions with only the README's Role: names and addresses are learned from the answers of the cluster's DNS.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

use std::process::Stdio;

use slipway_cluster_tests::{Desk, Running, on_each_laptop};

on_each_laptop!(addresses_are_routed_before_names_are_answered);

const ACCOUNT: &str = "least";
const KUBECONFIG: &str = "/home/dev/.kube/least";

/// Pages of services in three namespaces, and of a pod of a headless service.
const PAGES: [&str; 5] = [
    "http://web.shop.svc.cluster.local",
    "http://echo",
    "http://orders.shop-test.svc",
    "http://a.dev.svc.cluster.local",
    "http://db-1.db.shop:8080",
];

fn addresses_are_routed_before_names_are_answered(desk: &Desk<'_>) {
    let _account = Account::make(desk);
    let may = |arguments: &[&str]| {
        let all = [&["auth", "can-i", "--kubeconfig", KUBECONFIG], arguments].concat();
        let output = desk.output("kubectl", &all);
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(
        may(&["create", "jobs", "--namespace", "shop"]),
        "yes",
        "it is an account"
    );
    for forbidden in [
        &["list", "services", "--namespace", "shop"][..],
        &["create", "services", "--namespace", "shop"],
        &["get", "endpoints", "--namespace", "shop"],
        &["list", "services", "--all-namespaces"],
        &["list", "pods", "--namespace", "shop-test"],
        &["list", "nodes"],
        &["list", "namespaces"],
        &["list", "servicecidrs"],
    ] {
        assert_eq!(may(forbidden), "no", "{forbidden:?}");
    }
    let list = desk.output(
        "kubectl",
        &[
            "--kubeconfig",
            KUBECONFIG,
            "--namespace",
            "shop",
            "get",
            "services",
        ],
    );
    assert!(
        String::from_utf8_lossy(&list.stderr).contains("Forbidden"),
        "{list:?}"
    );

    for page in PAGES {
        assert_eq!(desk.page(page), None, "{page} is not reachable before");
    }
    let made = Made::watch(desk);
    let session = desk.connect(&["--kubeconfig", KUBECONFIG]);
    let orders = desk.kubectl(&[
        "--namespace",
        "shop-test",
        "get",
        "service/orders",
        "--output=jsonpath={.spec.clusterIP}",
    ]);
    assert!(
        !is_routed(desk, &orders),
        "nothing is known of {orders} before it is asked for"
    );
    for page in PAGES {
        assert!(
            desk.page(page).is_some(),
            "the first connection to {page} is made"
        );
    }
    assert!(is_routed(desk, &orders));
    session.disconnect();
    for page in PAGES {
        assert_eq!(desk.page(page), None, "{page} is not reachable after");
    }
    made.assert_nothing();
}

/// Whether packets to an address leave by the session's device.
fn is_routed(desk: &Desk<'_>, address: &str) -> bool {
    let output = desk.output("ip", &["route", "get", address]);
    String::from_utf8_lossy(&output.stdout).contains("slipway")
}

/// Watch for objects that are created from now on, except pods and Jobs.
struct Made(Vec<(&'static str, Running)>);

impl Made {
    fn watch(desk: &Desk<'_>) -> Made {
        let kinds = [
            "services",
            "configmaps",
            "secrets",
            "deployments",
            "namespaces",
            "roles",
        ];
        let watches = kinds.map(|kind| {
            let arguments = [
                "get",
                kind,
                "--all-namespaces",
                "--watch-only",
                "--output-watch-events",
                "--no-headers",
            ];
            let mut command = desk.bed.kubectl(arguments);
            command.stdin(Stdio::null());
            (kind, Running::start(command))
        });
        Made(watches.into())
    }

    fn assert_nothing(mut self) {
        for (kind, watch) in &mut self.0 {
            assert!(
                watch.is_alive(),
                "{kind} were watched to the end: {}",
                watch.said()
            );
            let said = watch.said();
            let made = said.lines().find(|line| line.starts_with("ADDED"));
            assert_eq!(made, None, "{kind} were made");
            watch.kill();
        }
    }
}

/// An account with the README's Role, and its kubeconfig on the laptop.
struct Account<'a>(&'a Desk<'a>);

impl Account<'_> {
    fn make<'a>(desk: &'a Desk<'a>) -> Account<'a> {
        let readme = include_str!("../../../README.md");
        let rules = readme
            .split("```yaml\n")
            .nth(1)
            .and_then(|rest| rest.split("```").next());
        let rules = rules.expect("the README shows a Role");
        let manifest = format!(
            "apiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: {ACCOUNT}, namespace: shop}}\n\
             ---\napiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\n\
             metadata: {{name: {ACCOUNT}, namespace: shop}}\n\
             roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: {ACCOUNT}}}\n\
             subjects: [{{kind: ServiceAccount, name: {ACCOUNT}, namespace: shop}}]\n\
             ---\napiVersion: rbac.authorization.k8s.io/v1\nkind: Role\n\
             metadata: {{name: {ACCOUNT}, namespace: shop}}\n{rules}"
        );
        desk.apply(&manifest);
        let token = desk.kubectl(&["--namespace", "shop", "create", "token", ACCOUNT]);
        desk.text("cp", &["/home/dev/.kube/config", KUBECONFIG]);
        let user = format!("--token={}", token.trim());
        for arguments in [
            &["set-credentials", ACCOUNT, &user][..],
            &[
                "set-context",
                "--current",
                "--user",
                ACCOUNT,
                "--namespace",
                "shop",
            ],
        ] {
            desk.text(
                "kubectl",
                &[&["config", "--kubeconfig", KUBECONFIG], arguments].concat(),
            );
        }
        Account(desk)
    }
}

impl Drop for Account<'_> {
    fn drop(&mut self) {
        let _ = self.0.output("rm", &["-f", KUBECONFIG]);
    }
}
