//! The last hour of a session.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::time::Duration;

use serde_json::Value;
use slipway_cluster_tests::{CONNECTING, Desk, Gone, on_the_plain_laptop};

on_the_plain_laptop!(the_hour_has_states_with_causes_and_figures);

const PAGE: &str = "http://web.shop.svc.cluster.local";

fn the_hour_has_states_with_causes_and_figures(desk: &Desk<'_>) {
    let session = desk.connect(&["--agent-grace", "60"]);
    assert!(desk.page(PAGE).is_some());
    let states = desk.states();
    states.wait(CONNECTING, "connected").unwrap();
    let gone = Gone::begin(desk);
    states.wait(Duration::from_secs(15), "reconnecting").unwrap();
    gone.last(Duration::from_secs(10));
    states.wait(CONNECTING, "connected").unwrap();
    let output = desk.slipway(&["status", "--history", "--json"]).output().unwrap();
    let hours: Value = serde_json::from_slice(&output.stdout).unwrap();
    let hour = &hours[0];
    let events = hour["events"].as_array().unwrap();
    let of_state = |state: &str| events.iter().find(|event| event["state"] == state).unwrap();
    for state in ["preparing", "placing", "connecting", "connected"] {
        assert!(of_state(state)["cause"].is_null(), "{state}: {hour:#}");
    }
    let why = of_state("reconnecting")["cause"].as_str();
    let why = why.unwrap_or_else(|| panic!("no cause: {hour:#}"));
    assert!(why.contains("carrier"), "{why}");
    // It may lose the carriers once more when the network is back.
    let lost = events.iter().position(|event| event["state"] == "reconnecting");
    let back = events.iter().rposition(|event| event["state"] == "connected");
    assert!(lost < back, "{events:#?}");
    let minutes = hour["minutes"].as_array().unwrap();
    let sum = |field: &str| {
        minutes
            .iter()
            .map(|minute| minute[field].as_u64().unwrap())
            .sum::<u64>()
    };
    assert!(sum("away") >= 1 && sum("well") >= 1, "{minutes:?}");
    assert!(sum("down_bytes") > 0, "a page was fetched");
    assert!(!hour["seconds"].as_array().unwrap().is_empty());
    let text = desk.slipway(&["status", "--history"]).output().unwrap();
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains(&format!("reconnecting: {why}")), "{text}");
    session.disconnect();
}
