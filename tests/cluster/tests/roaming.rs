//! Walks into networks of which the cluster has addresses: these are the laptop's while it is there.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use serde_json::Value;
use slipway_cluster_tests::{Desk, Session, on_the_plain_laptop, until_within};

on_the_plain_laptop!(
    a_home_router_is_not_the_clusters_after_a_walk,
    an_address_of_an_answer_is_not_the_clusters_at_home,
);

/// Time within which an address must lead to the laptop's own network.
const AT_ONCE: Duration = Duration::from_secs(1);

/// How long a session may take to notice a change of the laptop's network.
const NOTICED: Duration = Duration::from_secs(5);

/// Host beside the cluster, whose address is that of a router elsewhere.
const HOST: &str = "warehouse.vpc.internal";
const ROUTER: &str = "10.20.0.5";

/// Network of a home, on a device of its own.
struct Home<'a>(&'a Desk<'a>);

impl<'a> Home<'a> {
    const DEVICE: &'static str = "home0";

    fn enter(desk: &'a Desk<'a>) -> Home<'a> {
        let home = Home(desk);
        let ip = |words: &str| desk.as_root("ip", &words.split(' ').collect::<Vec<_>>());
        ip("link add home0 type veth peer name home1");
        ip("link set home0 up");
        ip("link set home1 up");
        ip("address add 10.20.0.9/24 dev home0");
        home
    }
}

impl Drop for Home<'_> {
    fn drop(&mut self) {
        self.0.output_as_root("ip", &["link", "delete", Home::DEVICE]);
    }
}

/// Returns the device to which the kernel sends packets to an address; `None` without a route.
fn device_to(desk: &Desk<'_>, address: &str) -> Option<String> {
    let output = desk.output("ip", &["route", "get", address]);
    let text = String::from_utf8(output.stdout).unwrap();
    let mut words = text.split(' ').skip_while(|word| *word != "dev");
    words.nth(1).map(str::to_owned)
}

fn leads_home(desk: &Desk<'_>) -> bool {
    device_to(desk, ROUTER).as_deref() == Some(Home::DEVICE)
}

fn problem(session: &Session<'_>, code: &str) -> Option<Value> {
    let status = session.status()?;
    let all = status["problems"].as_array()?;
    all.iter().find(|problem| problem["code"] == code).cloned()
}

fn a_home_router_is_not_the_clusters_after_a_walk(desk: &Desk<'_>) {
    let page = format!("http://{ROUTER}/");
    for range in [ROUTER, "10.20.0.0/16"] {
        assert_eq!(desk.page(&page), None, "not reachable before");
        let session = desk.connect(&["--also-proxy", range]);
        let tun = device_to(desk, ROUTER).unwrap();
        assert!(desk.page(&page).is_some(), "{range}");
        assert_eq!(problem(&session, "range-not-routed"), None);
        for _ in 0..2 {
            let home = Home::enter(desk);
            until_within(AT_ONCE, "the router is the laptop's", || leads_home(desk)).unwrap();
            until_within(NOTICED, "the session warns", || {
                problem(&session, "range-not-routed").is_some()
            })
            .unwrap();
            let cause = problem(&session, "range-not-routed").unwrap()["cause"].to_string();
            assert!(cause.contains(Home::DEVICE) && cause.contains(range), "{cause}");
            assert_eq!(problem(&session, "range-overridden"), None);
            assert_eq!(desk.page(&page), None, "nothing of it goes to the cluster");
            if range != ROUTER {
                let rest = device_to(desk, "10.20.200.1");
                assert_eq!(rest.as_ref(), Some(&tun), "the rest of the range stays");
            }
            drop(home);
            until_within(NOTICED, "the address is the cluster's again", || {
                desk.page(&page).is_some()
            })
            .unwrap();
            until_within(NOTICED, "the warning is withdrawn", || {
                problem(&session, "range-not-routed").is_none()
            })
            .unwrap();
        }
        session.disconnect();
        assert_eq!(device_to(desk, ROUTER), None, "no route stays");
    }
}

fn an_address_of_an_answer_is_not_the_clusters_at_home(desk: &Desk<'_>) {
    let page = format!("http://{HOST}/");
    assert_eq!(desk.page(&page), None, "not reachable before");
    let session = desk.connect(&["--also-proxy", HOST]);
    assert!(desk.page(&page).is_some());
    assert!(device_to(desk, ROUTER).is_some(), "learned from the answer");
    let home = Home::enter(desk);
    until_within(AT_ONCE, "the router is the laptop's", || leads_home(desk)).unwrap();
    until_within(NOTICED, "programs do not get the address", || {
        !desk.resolves(HOST)
    })
    .unwrap();
    let withheld = || {
        let cause = problem(&session, "address-withheld")?["cause"].to_string();
        (cause.contains(ROUTER) && cause.contains(Home::DEVICE)).then_some(())
    };
    until_within(NOTICED, "the session says why", || withheld().is_some()).unwrap();
    drop(home);
    until_within(NOTICED, "programs get it again", || desk.page(&page).is_some()).unwrap();
    until_within(NOTICED, "the problem is withdrawn", || withheld().is_none()).unwrap();
    session.disconnect();
    assert_eq!(desk.page(&page), None, "not reachable after");
}
