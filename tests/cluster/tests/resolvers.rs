//! Lookups by every kind of program: the cluster's names resolve, and other names are answered as before.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::time::{Duration, Instant};

use slipway_cluster_tests::lookups::Lookup;
use slipway_cluster_tests::{
    CONNECTING, Desk, LaptopKind, Session, on_each_laptop, on_the_plain_laptop, on_the_resolved_laptop,
    until, until_within,
};

on_each_laptop!(
    every_kind_of_program_finds_every_form_of_a_name,
    every_kind_of_record_is_found,
    a_reused_source_port_does_not_bypass_the_session,
);
on_the_plain_laptop!(search_domains_of_the_laptop_break_no_name);
on_the_resolved_laptop!(
    nss_resolve_finds_every_form_of_a_name,
    nss_resolve_follows_namespaces_and_leaves_domains_alone,
    namespaces_without_room_are_named,
);

/// How long an unknown name may take.
const NOBODY: Duration = Duration::from_secs(2);

/// Returns the forms of names that every program finds on every laptop, with their addresses.
fn names(desk: &Desk<'_>) -> Vec<(&'static str, String)> {
    let web = desk.address("service/web", "{.spec.clusterIP}");
    let pod = desk.address("pod/db-0", "{.status.podIP}");
    let a = desk.kubectl(&[
        "--namespace",
        "dev",
        "get",
        "service/a",
        "--output=jsonpath={.spec.clusterIP}",
    ]);
    vec![
        ("web", web.clone()),
        ("web.shop", web.clone()),
        ("web.shop.svc", web.clone()),
        ("web.shop.svc.cluster.local", web),
        ("a.dev.svc", a),
        ("db-0.db.shop", pod.clone()),
        ("db-0.db.shop.svc", pod.clone()),
        ("db-0.db.shop.svc.cluster.local", pod),
    ]
}

const PUBLIC: [(&str, &str); 2] = [("www.public.test", "203.0.113.10"), ("a.dev", "203.0.113.30")];

/// Returns unknown names. For a name without dots, systemd-resolved also asks the laptop's neighbors (LLMNR) and waits
/// for them, with and without a session.
fn unknown_names(desk: &Desk<'_>) -> Vec<&'static str> {
    let names = [
        "nosuch",
        "nosuch.shop",
        "nosuch.shop.svc.cluster.local",
        "nobody-knows-this.public.test",
    ];
    let asks_neighbors = desk.laptop.kind() == LaptopKind::Resolved;
    names[usize::from(asks_neighbors)..].to_vec()
}

/// Checks that `lookup` finds none of the cluster's names, and the public ones.
fn finds_only_public_names(desk: &Desk<'_>, lookup: &Lookup, names: &[(&str, String)], when: &str) {
    for (name, _) in names {
        assert_eq!(
            lookup.addresses(desk, name),
            "",
            "{} finds {name} {when}",
            lookup.by
        );
    }
    for (name, address) in PUBLIC {
        assert_eq!(
            lookup.addresses(desk, name),
            address,
            "{} {when}: {name}",
            lookup.by
        );
    }
}

fn finds_all_names(desk: &Desk<'_>, lookup: &Lookup, names: &[(&str, String)]) {
    let by = lookup.by;
    for (name, address) in names {
        assert_eq!(lookup.addresses(desk, name), *address, "{by}: {name}");
    }
    for (name, address) in PUBLIC {
        assert_eq!(lookup.addresses(desk, name), address, "{by}: {name}");
    }
    for name in unknown_names(desk) {
        let found = lookup.find(desk, name);
        assert!(found.addresses.is_empty(), "{by} finds {name}: {found:?}");
        assert!(found.took < NOBODY, "{by} needs {:?} for {name}", found.took);
    }
}

fn every_kind_of_program_finds_every_form_of_a_name(desk: &Desk<'_>) {
    let lookups = Lookup::all();
    let mut names = names(desk);
    if desk.laptop.kind() != LaptopKind::Resolved {
        // systemd-resolved does not forward a name with dots outside the domains that it was given.
        let pod = names[7].1.clone();
        names.push(("db-0.db", pod));
    }
    for lookup in &lookups {
        finds_only_public_names(desk, lookup, &names, "before");
    }
    let session = desk.connect(&[]);
    for lookup in &lookups {
        finds_all_names(desk, lookup, &names);
    }
    session.disconnect();
    for lookup in &lookups {
        finds_only_public_names(desk, lookup, &names, "after");
    }
}

fn every_kind_of_record_is_found(desk: &Desk<'_>) {
    let dig = |arguments: &str| {
        let all: Vec<&str> = ["+time=3", "+tries=1"]
            .into_iter()
            .chain(arguments.split(' '))
            .collect();
        desk.text("dig", &all).trim().to_owned()
    };
    let web = desk.address("service/web", "{.spec.clusterIP}");
    let pod = desk.address("pod/db-0", "{.status.podIP}");
    let (of_web, of_pod) = (format!("-x {web}"), format!("-x {pod}"));
    let mut records = vec![
        ("web.shop.svc.cluster.local A", web.clone()),
        ("+tcp web.shop.svc.cluster.local A", web.clone()),
        (
            "_http._tcp.web.shop.svc.cluster.local SRV",
            "0 100 80 web.shop.svc.cluster.local.".to_owned(),
        ),
        (
            "_http._tcp.web.shop.svc SRV",
            "0 100 80 web.shop.svc.cluster.local.".to_owned(),
        ),
        (
            "_http._tcp.web.shop SRV",
            "0 100 80 web.shop.svc.cluster.local.".to_owned(),
        ),
        ("dns-version.cluster.local TXT", "\"1.1.0\"".to_owned()),
    ];
    if desk.laptop.kind() != LaptopKind::Resolved {
        // There systemd-resolved also asks the laptop's neighbors, and waits for them.
        records.push(("+search web A", web));
    }
    records.push((&of_web, "web.shop.svc.cluster.local.".to_owned()));
    records.push((&of_pod, "db-0.db.shop.svc.cluster.local.".to_owned()));
    let found_none = |when: &str| {
        for (question, _) in &records {
            assert_eq!(dig(&format!("+short {question}")), "", "{question} {when}");
        }
    };
    found_none("before");
    let session = desk.connect(&[]);
    for (question, answer) in &records {
        assert_eq!(dig(&format!("+short {question}")), *answer, "{question}");
    }
    for name in [
        "nosuch.shop.svc.cluster.local",
        "nosuch.shop",
        "nobody-knows-this.public.test",
    ] {
        let begun = Instant::now();
        let said = dig(name);
        assert!(said.contains("status: NXDOMAIN"), "{name}: {said}");
        assert!(begun.elapsed() < NOBODY, "{name} needs {:?}", begun.elapsed());
    }
    assert!(
        dig("big.public.test TXT").contains("ANSWER: 1"),
        "an answer that fits no datagram comes by TCP"
    );
    session.disconnect();
    found_none("after");
}

fn a_reused_source_port_does_not_bypass_the_session(desk: &Desk<'_>) {
    let from_one_port = |name: &str| {
        let arguments = ["+time=3", "+tries=1", "+short", "-b", "0.0.0.0#40053", name];
        desk.text("dig", &arguments).trim().to_owned()
    };
    let web = desk.address("service/web", "{.spec.clusterIP}");
    let (name, (public, address)) = ("web.shop.svc.cluster.local", PUBLIC[0]);
    assert_eq!(from_one_port(name), "", "before");
    let session = desk.connect(&[]);
    assert_eq!(from_one_port(name), web);
    session.disconnect();
    assert_eq!(
        from_one_port(public),
        address,
        "the same port leads to the laptop's name server again"
    );
    assert_eq!(from_one_port(name), "", "after");
}

fn search_domains_of_the_laptop_break_no_name(desk: &Desk<'_>) {
    let before = desk.text("cat", &["/etc/resolv.conf"]);
    let _restored = Restored(desk, "/etc/resolv.conf", before.clone());
    // With `ndots:5`, a resolver tries a full name with all search domains before it asks for the name itself.
    let conf = format!("{before}search corp.internal vpn.example\noptions ndots:5\n");
    desk.laptop.write("/etc/resolv.conf", &conf).unwrap();
    let company = desk.laptop.node().to_string();
    let names = names(desk);
    let lookups = Lookup::all();
    for lookup in &lookups {
        finds_only_public_names(desk, lookup, &names, "before");
        assert_eq!(lookup.addresses(desk, "wiki"), company, "{} before", lookup.by);
    }
    let session = desk.connect(&[]);
    for lookup in &lookups {
        finds_all_names(desk, lookup, &names);
        assert_eq!(
            lookup.addresses(desk, "wiki"),
            company,
            "{}: a short name of the company's",
            lookup.by
        );
    }
    session.disconnect();
    for lookup in &lookups {
        finds_only_public_names(desk, lookup, &names, "after");
    }
}

fn nss_resolve_finds_every_form_of_a_name(desk: &Desk<'_>) {
    let lookup = Lookup::nss_resolve();
    let names = names(desk);
    finds_only_public_names(desk, &lookup, &names, "before");
    let session = desk.connect(&[]);
    finds_all_names(desk, &lookup, &names);
    session.disconnect();
    finds_only_public_names(desk, &lookup, &names, "after");
}

fn nss_resolve_follows_namespaces_and_leaves_domains_alone(desk: &Desk<'_>) {
    let lookup = Lookup::nss_resolve();
    let finds = |name: &str| !lookup.find(desk, name).addresses.is_empty();
    assert!(!finds("orders.shop-test"), "not found before");
    let admin = ["--kubeconfig", "/home/dev/.kube/admin", "--namespace", "shop"];
    let session = desk.connect(&admin);
    until("a service of another namespace is found", || {
        finds("orders.shop-test")
    })
    .unwrap();
    assert!(!finds("orders.later"));
    let _namespace = Namespace::make(desk, "later");
    until("a service of a namespace made meanwhile is found", || {
        finds("orders.later")
    })
    .unwrap();
    let domains = desk.text("resolvectl", &["domain"]);
    assert!(
        domains.contains("~later") && domains.contains("~shop-test"),
        "{domains}"
    );
    assert!(
        !domains.contains("~dev"),
        "a namespace called like a domain does not take the domain here: {domains}"
    );
    assert_eq!(lookup.addresses(desk, "a.dev"), "203.0.113.30");
    session.disconnect();
    assert!(!finds("orders.shop-test"), "not found after");
}

fn namespaces_without_room_are_named(desk: &Desk<'_>) {
    let problem = |session: &Session<'_>| {
        let problems = session.status().unwrap()["problems"].clone();
        let mut problems = problems.as_array().unwrap().iter();
        let found = problems.find(|problem| problem["code"] == "too-many-namespaces");
        found.map(|problem| problem["cause"].as_str().unwrap().to_owned())
    };
    let session = desk.connect(&["--kubeconfig", "/home/dev/.kube/admin", "--namespace", "shop"]);
    assert_eq!(problem(&session), None);
    let many = ManyNamespaces::make(desk);
    until_within(CONNECTING, "the status names namespaces", || {
        problem(&session).is_some()
    })
    .unwrap();
    let cause = problem(&session).unwrap();
    // Those that are left out come last in alphabetical order.
    assert!(cause.contains("to `zone-99`"), "{cause}");
    drop(many);
    until_within(CONNECTING, "the problem is withdrawn", || {
        problem(&session).is_none()
    })
    .unwrap();
    session.disconnect();
}

/// More namespaces than systemd-resolved has room for, removed when this is dropped.
struct ManyNamespaces<'a>(&'a Desk<'a>);

impl ManyNamespaces<'_> {
    fn make<'a>(desk: &'a Desk<'a>) -> ManyNamespaces<'a> {
        let made = ManyNamespaces(desk);
        let one = |number| {
            format!(
                "apiVersion: v1\nkind: Namespace\nmetadata: {{name: zone-{number}, labels: {{many: zones}}}}\n---\n"
            )
        };
        desk.apply(&(1..=250).map(one).collect::<String>());
        made
    }
}

impl Drop for ManyNamespaces<'_> {
    fn drop(&mut self) {
        self.0
            .kubectl(&["delete", "namespaces", "--selector=many=zones", "--wait=false"]);
    }
}

/// A file of a laptop, restored when this is dropped.
struct Restored<'a>(&'a Desk<'a>, &'static str, String);

impl Drop for Restored<'_> {
    fn drop(&mut self) {
        self.0.laptop.write(self.1, &self.2).unwrap();
    }
}

/// A namespace with a service `orders`, removed when this is dropped.
struct Namespace<'a>(&'a Desk<'a>, &'static str);

impl Namespace<'_> {
    fn make<'a>(desk: &'a Desk<'a>, name: &'static str) -> Namespace<'a> {
        desk.kubectl(&["create", "namespace", name]);
        let made = Namespace(desk, name);
        desk.kubectl(&[
            "--namespace",
            name,
            "create",
            "service",
            "clusterip",
            "orders",
            "--tcp=80:8080",
        ]);
        made
    }
}

impl Drop for Namespace<'_> {
    fn drop(&mut self) {
        self.0.kubectl(&["delete", "namespace", self.1, "--wait=false"]);
    }
}
