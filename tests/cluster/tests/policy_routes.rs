//! Routing rules of other VPNs, which come before the routes of a session.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::time::Duration;

use serde_json::Value;
use slipway_cluster_tests::{Desk, Session, Vpn, on_the_plain_laptop, problems, program, until_within};

on_the_plain_laptop!(
    a_rule_that_is_there_is_named_at_connect,
    a_rule_that_comes_later_is_named_until_it_goes,
);

/// How long a session may take to notice a change of the laptop's routing.
const NOTICED: Duration = Duration::from_secs(5);

const PAGE: &str = "http://web.shop.svc.cluster.local";
const PLACE: [&str; 4] = ["--kubeconfig", "/home/dev/.kube/admin", "--namespace", "shop"];

fn overridden(session: &Session<'_>) -> Option<Value> {
    let status = session.status()?;
    let all = status["problems"].as_array()?;
    all.iter()
        .find(|problem| problem["code"] == "range-overridden")
        .cloned()
}

/// Returns the doctor's findings about ranges.
fn ranges(desk: &Desk<'_>) -> Vec<Value> {
    let arguments = [&["doctor", "--json"][..], &PLACE].concat();
    let output = desk.slipway(&arguments).output().unwrap();
    let findings: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    findings
        .into_iter()
        .filter(|finding| finding["check"] == "range")
        .collect()
}

fn assert_named(text: &str) {
    assert!(text.contains(Vpn::DEVICE) && text.contains(Vpn::RULE), "{text}");
}

fn a_rule_that_is_there_is_named_at_connect(desk: &Desk<'_>) {
    let vpn = Vpn::begin(desk);
    for connected in [false, true] {
        let session = connected.then(|| desk.connect(&PLACE));
        let found = ranges(desk);
        assert!(!found.is_empty());
        for finding in &found {
            assert_eq!(finding["code"], "range-overridden", "{found:#?}");
            assert_named(finding["detail"].as_str().unwrap());
        }
        let Some(session) = session else { continue };
        let problem = overridden(&session).unwrap_or_else(|| panic!("{:?}", session.status()));
        assert_named(problem["cause"].as_str().unwrap());
        assert_named(&session.running.said());
        assert_eq!(desk.page(PAGE), None, "packets go to the VPN");
        let service = desk.address("service/web", "{.spec.clusterIP}");
        let explained = desk.text(program("slipway").to_str().unwrap(), &["explain", &service]);
        assert_named(&explained);
        assert!(
            !explained.contains("--also-proxy"),
            "it would not help: {explained}"
        );
        session.disconnect();
    }
    drop(vpn);
}

fn a_rule_that_comes_later_is_named_until_it_goes(desk: &Desk<'_>) {
    let session = desk.connect(&PLACE);
    assert!(desk.page(PAGE).is_some());
    assert!(!problems(&session.status().unwrap()).contains(&"range-overridden"));
    for _ in 0..2 {
        let vpn = Vpn::begin(desk);
        until_within(NOTICED, "the rule is a problem", || {
            overridden(&session).is_some()
        })
        .unwrap();
        assert_named(overridden(&session).unwrap()["cause"].as_str().unwrap());
        drop(vpn);
        until_within(NOTICED, "the problem is withdrawn", || {
            overridden(&session).is_none()
        })
        .unwrap();
        assert!(desk.page(PAGE).is_some());
    }
    session.disconnect();
}
