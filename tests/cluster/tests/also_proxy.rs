//! Hosts outside the cluster, reached through it.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use slipway_cluster_tests::{Desk, LaptopFile, Moved, on_each_laptop, on_the_plain_laptop, problems, until};

on_each_laptop!(a_host_that_only_the_cluster_knows_is_reached_by_name);
on_the_plain_laptop!(
    an_address_beside_the_cluster_is_reached,
    an_unknown_host_does_not_stop_the_session,
    the_api_servers_own_address_never_loops,
);

const HOST: &str = "warehouse.vpc.internal";
const ADDRESS: &str = "http://10.20.0.5/";

fn a_host_that_only_the_cluster_knows_is_reached_by_name(desk: &Desk<'_>) {
    let page = format!("http://{HOST}/");
    assert_eq!(desk.page(&page), None, "not reachable before");
    let without = desk.connect(&[]);
    assert_eq!(
        desk.page(&page),
        None,
        "not reachable by a session that was not asked to"
    );
    without.disconnect();
    let session = desk.connect(&["--also-proxy", HOST]);
    assert!(desk.page(&page).is_some());
    session.disconnect();
    assert_eq!(desk.page(&page), None, "not reachable after");
}

fn an_address_beside_the_cluster_is_reached(desk: &Desk<'_>) {
    for range in ["10.20.0.5", "10.20.0.0/24"] {
        assert_eq!(desk.page(ADDRESS), None, "not reachable before");
        let session = desk.connect(&["--also-proxy", range]);
        assert!(desk.page(ADDRESS).is_some(), "{range}");
        session.disconnect();
    }
}

fn an_unknown_host_does_not_stop_the_session(desk: &Desk<'_>) {
    let session = desk.connect(&["--also-proxy", "nowhere.vpc.internal", "--also-proxy", HOST]);
    assert!(desk.page(&format!("http://{HOST}/")).is_some());
    assert!(!desk.resolves("nowhere.vpc.internal"));
    let warned = || {
        session
            .status()
            .is_some_and(|status| problems(&status).contains(&"also-proxy-unknown"))
    };
    until("the session warns of it", warned).unwrap();
    session.disconnect();

    // A start in the background reports it too.
    let session = desk.connect_detached(&["--also-proxy", "nowhere.vpc.internal"]);
    let said = &session.said;
    assert!(
        said.contains("Note: ") && said.contains("`nowhere.vpc.internal`"),
        "{said}"
    );
}

/// A public address of the API server, beyond the laptop's gateway. Only the session itself excludes it from the captured
/// addresses.
const PUBLIC: &str = "203.0.113.10";

fn the_api_servers_own_address_never_loops(desk: &Desk<'_>) {
    let kubeconfig = LaptopFile::kubeconfig(desk, |config| {
        let cluster = &mut config["clusters"][0]["cluster"];
        cluster["server"] = format!("https://{PUBLIC}:6443").into();
        cluster["tls-server-name"] = "kubernetes.default.svc".into();
    });
    let place = ["--kubeconfig", &kubeconfig.path];
    // One range contains the laptop's own network, the other one only the API server.
    for extra in ["192.168.0.0/16", PUBLIC] {
        let session = desk.connect(&[&place[..], &["--also-proxy", extra]].concat());
        assert!(
            desk.page("http://web.shop.svc.cluster.local").is_some(),
            "{extra}"
        );
        // New carriers must reach the API server too.
        let moved = Moved::begin(desk);
        until("the session connects by another address", || moved.is_used()).unwrap();
        assert!(
            desk.page("http://web.shop.svc.cluster.local").is_some(),
            "{extra}"
        );
        drop(moved);
        session.disconnect();
    }
}
