//! Names of the cluster during a session; other names are answered as before.
#![expect(clippy::expect_used, reason = "a test may panic")]

use std::time::{Duration, Instant};

use slipway_cluster_tests::{Desk, on_each_laptop, on_the_plain_laptop, until};

on_each_laptop!(
    a_page_by_the_full_name_of_its_service,
    every_form_of_a_name_resolves,
    public_and_company_names_answer_as_before,
    a_new_service_resolves_within_ten_seconds,
);

on_the_plain_laptop!(the_program_that_asked_is_named);

const FULL: &str = "http://web.shop.svc.cluster.local";

fn a_page_by_the_full_name_of_its_service(desk: &Desk<'_>) {
    assert_eq!(desk.page(FULL), None, "not reachable before");
    let session = desk.connect(&[]);
    let page = desk.page(FULL).expect("a page");
    assert!(page.starts_with("hello from web-"), "{page}");
    session.disconnect();
    assert_eq!(desk.page(FULL), None, "not reachable after");
}

fn every_form_of_a_name_resolves(desk: &Desk<'_>) {
    let names = [
        "web",
        "web.shop",
        "web.shop.svc",
        "web.shop.svc.cluster.local",
        "orders.shop-test",
        "orders.shop-test.svc.cluster.local",
        "db.shop",
        "db-0.db",
        "db-1.db.shop.svc.cluster.local",
        "a.dev.svc",
        "kubernetes.default.svc.cluster.local",
    ];
    for name in names {
        assert!(!desk.resolves(name), "{name} resolves before");
    }
    let session = desk.connect(&[]);
    for name in names {
        assert!(desk.resolves(name), "{name} does not resolve while connected");
    }
    session.disconnect();
    for name in names {
        assert!(!desk.resolves(name), "{name} resolves after");
    }
}

fn public_and_company_names_answer_as_before(desk: &Desk<'_>) {
    let names = [
        "www.public.test",
        "shop.dev",
        "a.dev",
        "a.com",
        "db.corp.internal",
    ];
    let answers = || names.map(|name| desk.text("getent", &["ahosts", name]));
    let before = answers();
    let session = desk.connect(&[]);
    assert_eq!(
        answers(),
        before,
        "a namespace called like a domain takes none of its names away"
    );
    let begun = Instant::now();
    assert!(!desk.resolves("nobody-knows-this.public.test"));
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "an unknown name is known to be one soon"
    );
    session.disconnect();
    assert_eq!(answers(), before);
}

fn a_new_service_resolves_within_ten_seconds(desk: &Desk<'_>) {
    let service = format!("late-on-{}", desk.laptop.kind().name());
    let session = desk.connect(&[]);
    assert!(!desk.resolves(&service));
    let create = [
        "--namespace",
        "shop",
        "create",
        "service",
        "clusterip",
        &service,
        "--tcp=80:8080",
    ];
    desk.kubectl(&create);
    let found = until("a new service resolves", || desk.resolves(&service));
    desk.kubectl(&["--namespace", "shop", "delete", "service", &service]);
    found.expect("resolves");
    session.disconnect();
}

fn the_program_that_asked_is_named(desk: &Desk<'_>) {
    let session = desk.connect(&[]);
    let name = "nobody-has-this-name";
    assert!(!desk.resolves(name));
    let ask = format!("import socket\ntry: socket.getaddrinfo('{name}-either', 80)\nexcept OSError: pass");
    desk.text("python3", &["-c", &ask]);
    let names = desk.text(
        slipway_cluster_tests::path_text(&slipway_cluster_tests::program("slipway")),
        &["names", "--failed", "--json"],
    );
    for program in ["getent", "python3"] {
        let by = format!("\"program\":\"{program}");
        let is_named = names
            .lines()
            .any(|line| line.contains(name) && line.contains(&by));
        assert!(is_named, "{program}: {names}");
    }
    session.disconnect();
}
