//! Claims of a cluster or its tenant to names and addresses that are not its own: they stay the laptop's. Each test first
//! checks that the cluster makes the claim.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::{Mutex, PoisonError};

use slipway_cluster_tests::{Desk, NodeRule, on_each_laptop, on_the_plain_laptop, until};

on_each_laptop!(names_that_find_proxies_stay_the_laptops);
on_the_plain_laptop!(
    a_failing_laptop_resolver_gives_no_name_to_the_cluster,
    a_clusters_answer_reroutes_no_foreign_address,
);

/// Address of the pods of the invented services.
const POD: &str = "10.244.0.66";

/// A service without a selector, whose creator chooses its addresses. Removed when this is dropped.
struct Service<'a> {
    desk: &'a Desk<'a>,
    name: &'a str,
}

impl<'a> Service<'a> {
    /// Creates a service; `hosts` are names and addresses of its pods.
    fn new(desk: &'a Desk<'a>, name: &'a str, pods: &[(&str, &str)]) -> Self {
        let endpoints: Vec<String> = pods
            .iter()
            .map(|(host, address)| format!("{{hostname: {host}, addresses: ['{address}']}}"))
            .collect();
        desk.apply(&format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: shop}}\n\
             spec: {{clusterIP: None, ports: [{{name: http, port: 80}}]}}\n---\n\
             apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
             metadata: {{name: {name}, namespace: shop, labels: {{kubernetes.io/service-name: {name}}}}}\n\
             addressType: IPv4\nports: [{{name: http, port: 80}}]\nendpoints: [{}]\n",
            endpoints.join(", ")
        ));
        Self { desk, name }
    }
}

impl Drop for Service<'_> {
    fn drop(&mut self) {
        for kind in ["service", "endpointslice"] {
            let delete = [
                "--namespace",
                "shop",
                "delete",
                "--ignore-not-found",
                kind,
                self.name,
            ];
            drop(self.desk.bed.kubectl(delete).output());
        }
    }
}

/// Returns the addresses of getaddrinfo, within 8 seconds.
fn addresses(desk: &Desk<'_>, name: &str) -> Vec<String> {
    let output = desk.output("timeout", &["8", "getent", "ahostsv4", name]);
    let text = String::from_utf8(output.stdout).unwrap();
    let mut found: Vec<String> = text
        .lines()
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .collect();
    found.dedup();
    found
}

fn comes_to_be_known(desk: &Desk<'_>, name: &str, expected: &[&str]) {
    until("the cluster's DNS knows the service", || {
        addresses(desk, name) == expected
    })
    .unwrap();
}

fn names_that_find_proxies_stay_the_laptops(desk: &Desk<'_>) {
    // The laptops share the cluster, and the end of the test on one of them removes the service.
    static SERVICE: Mutex<()> = Mutex::new(());
    let _guard = SERVICE.lock().unwrap_or_else(PoisonError::into_inner);
    let name = "wpad";
    let _service = Service::new(desk, name, &[("pod", POD)]);
    let session = desk.connect(&[]);
    comes_to_be_known(desk, "wpad.shop.svc", &[POD]);
    for asked in ["wpad", "wpad.corp.internal"] {
        assert_eq!(addresses(desk, asked), [""; 0], "{asked}");
    }
    session.disconnect();
}

fn a_failing_laptop_resolver_gives_no_name_to_the_cluster(desk: &Desk<'_>) {
    let _service = Service::new(desk, "com", &[("github", POD), ("a", POD)]);
    let session = desk.connect(&[]);
    comes_to_be_known(desk, "github.com.shop.svc.cluster.local", &[POD]);
    // The laptop's name server knows `com`, and not `github.com`.
    assert_eq!(addresses(desk, "a.com"), ["203.0.113.10"]);
    assert_eq!(
        addresses(desk, "github.com"),
        [""; 0],
        "a name below a domain of the laptop"
    );
    let silent = NodeRule::begin(desk, "dns", "meta l4proto { tcp, udp } th dport 53 drop");
    for name in ["github.com", "a.com"] {
        assert_eq!(
            addresses(desk, name),
            [""; 0],
            "{name} while the laptop's name server is silent"
        );
    }
    assert_eq!(
        addresses(desk, "github.com.shop.svc"),
        [POD],
        "the cluster is there"
    );
    drop(silent);
    session.disconnect();
}

fn a_clusters_answer_reroutes_no_foreign_address(desk: &Desk<'_>) {
    let lan = desk.laptop.address().to_string();
    let (network, _) = lan.rsplit_once('.').unwrap();
    let neighbor = format!("{network}.77");
    let _public = Service::new(desk, "public", &[("a", "1.1.1.1")]);
    let _lan = Service::new(desk, "lan", &[("a", &neighbor)]);
    let _mixed = Service::new(
        desk,
        "mixed",
        &[("a", &neighbor), ("b", POD), ("c", "140.82.112.3")],
    );
    let goes = |address: &str| {
        // Without a route the command fails, and prints nothing.
        let route = desk.output("ip", &["route", "get", address]).stdout;
        String::from_utf8(route).unwrap().contains("slipway")
    };

    let session = desk.connect(&[]);
    comes_to_be_known(desk, "mixed", &[POD]);
    assert!(goes(POD), "what is the cluster's goes there");
    for (name, address) in [("public", "1.1.1.1"), ("lan", neighbor.as_str())] {
        assert_eq!(addresses(desk, name), [""; 0], "{name}");
        assert!(!goes(address), "{address}");
        let said = desk.slipway(&["explain", name]).output().unwrap();
        let said = String::from_utf8(said.stdout).unwrap();
        assert!(
            said.contains(address) && said.contains("do not get that address"),
            "{said}"
        );
    }
    assert!(!goes("140.82.112.3"));
    let is_reported = || {
        session
            .status()
            .is_some_and(|status| status.to_string().contains("address-withheld"))
    };
    until("the session reports it", is_reported).unwrap();
    session.disconnect();

    // The user may name such an address.
    let session = desk.connect(&["--also-proxy", "public.shop.svc.cluster.local"]);
    comes_to_be_known(desk, "public.shop.svc.cluster.local", &["1.1.1.1"]);
    assert!(goes("1.1.1.1"));
    session.disconnect();
    assert!(!goes("1.1.1.1"));
}
