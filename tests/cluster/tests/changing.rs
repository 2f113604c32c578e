//! Changes of a running session: what the user sends to the cluster, saved and undone.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use serde_json::Value;
use slipway_cluster_tests::{Desk, Session, on_each_laptop, on_the_plain_laptop, problems};

on_each_laptop!(
    a_change_works_at_once_and_is_undone,
    another_namespace_is_looked_up_too,
);

on_the_plain_laptop!(
    a_network_is_routed_at_once,
    a_saved_change_is_in_the_profile_until_it_is_undone,
    a_change_says_what_does_not_work,
);

/// Host beside the cluster, its domain, and its address.
const HOST: &str = "warehouse.vpc.internal";
const SUFFIX: &str = "vpc.internal";
const ADDRESS: &str = "10.20.0.5";

/// Runs `slipway change` for the only session, and returns its JSON.
fn change(desk: &Desk<'_>, arguments: &[&str]) -> Value {
    let arguments = [&["change", "--json"], arguments].concat();
    let output = desk.slipway(&arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Whether the kernel has a route to the address that a look-up brought.
fn is_routed(desk: &Desk<'_>) -> bool {
    let output = desk.output("ip", &["route", "get", ADDRESS]);
    String::from_utf8_lossy(&output.stdout).contains("slipway")
}

fn extras(session: &Session<'_>) -> Value {
    session.status().unwrap()["extras"].clone()
}

fn a_change_works_at_once_and_is_undone(desk: &Desk<'_>) {
    let page = format!("http://{HOST}/");
    let session = desk.connect(&[]);
    let before = extras(&session);
    for (option, value) in [("--also-proxy", HOST), ("--suffix", SUFFIX)] {
        assert_eq!(desk.page(&page), None, "not reachable before: {option}");
        let changed = change(desk, &[option, value]);
        assert_eq!(changed["problems"], serde_json::json!([]));
        assert!(desk.page(&page).is_some(), "{option}");
        assert!(is_routed(desk));
        let again = change(desk, &[option, value]);
        assert!(again["number"].is_null(), "nothing to change: {again}");
        let undo = format!("--undo={}", changed["number"]);
        change(desk, &[&undo]);
        assert!(!desk.resolves(HOST), "{option}");
        assert!(!is_routed(desk), "the address is the laptop's again: {option}");
        assert_eq!(extras(&session), before);
    }
    session.disconnect();
}

fn another_namespace_is_looked_up_too(desk: &Desk<'_>) {
    let session = desk.connect(&[]);
    assert!(!desk.resolves("orders"), "it is in namespace shop-test");
    let web = desk.text("getent", &["hosts", "web"]);
    change(desk, &["--also-namespace", "shop-test"]);
    assert!(desk.resolves("orders"));
    assert_eq!(
        desk.text("getent", &["hosts", "web"]),
        web,
        "the first namespace counts"
    );
    change(desk, &["--undo"]);
    assert!(!desk.resolves("orders"));
    session.disconnect();
    let session = desk.connect(&["--also-namespace", "shop-test"]);
    assert!(desk.resolves("orders"), "from the start");
    change(desk, &["--no-also-namespace", "shop-test"]);
    assert!(!desk.resolves("orders"));
    session.disconnect();
}

fn a_network_is_routed_at_once(desk: &Desk<'_>) {
    let page = format!("http://{ADDRESS}/");
    let session = desk.connect(&[]);
    assert_eq!(desk.page(&page), None, "not reachable before");
    change(desk, &["--also-proxy", "10.20.0.0/16"]);
    assert!(desk.page(&page).is_some());
    change(desk, &["--no-also-proxy", "10.20.0.0/16"]);
    assert!(!is_routed(desk));
    session.disconnect();
}

/// The saved profile `changing`, deleted when this is dropped.
struct Saved<'a>(&'a Desk<'a>);

impl<'a> Saved<'a> {
    const PATH: &'static str = "/home/dev/.config/slipway/profiles/changing.toml";

    fn new(desk: &'a Desk<'a>, text: &str) -> Saved<'a> {
        let saved = Saved(desk);
        let write = "mkdir -p \"${1%/*}\" && printf %s \"$2\" > \"$1\"";
        desk.text("sh", &["-c", write, "sh", Self::PATH, text]);
        saved
    }
}

impl Drop for Saved<'_> {
    fn drop(&mut self) {
        self.0.output_as_root("rm", &["-f", Self::PATH]);
    }
}

fn a_saved_change_is_in_the_profile_until_it_is_undone(desk: &Desk<'_>) {
    let text = "# Ours\nversion = 1\n[cluster]\nnamespace = \"shop\" # orders\n";
    let _profile = Saved::new(desk, text);
    let read = || desk.text("cat", &[Saved::PATH]);
    let session = desk.connect(&["changing"]);
    let page = format!("http://{HOST}/");
    assert_eq!(desk.page(&page), None, "not reachable before");
    change(desk, &["changing", "--also-proxy", HOST, "--save"]);
    assert!(desk.page(&page).is_some());
    let saved = read();
    assert!(
        saved.contains(HOST) && saved.contains("# Ours") && saved.contains("# orders"),
        "{saved}"
    );
    change(desk, &["changing", "--undo"]);
    assert!(!desk.resolves(HOST));
    assert_eq!(read(), text);
    session.disconnect();
    let session = desk.connect(&[]);
    let refused = desk
        .slipway(&["change", "--also-proxy", HOST, "--save"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(
        !refused.status.success() && said.contains("session-without-profile"),
        "{said}"
    );
    assert!(!desk.resolves(HOST), "what cannot be saved is not made");
    session.disconnect();
}

fn a_change_says_what_does_not_work(desk: &Desk<'_>) {
    let session = desk.connect(&[]);
    let codes = |changed: &Value| -> Vec<String> {
        let problems = changed["problems"].as_array().unwrap().iter();
        let codes = problems.map(|problem| problem["code"].as_str().unwrap().to_owned());
        codes.collect()
    };
    for (option, value, code) in [
        (
            "--also-proxy",
            "nobody-knows-this.vpc.internal",
            "also-proxy-unknown",
        ),
        ("--also-proxy", "169.254.0.0/16", "range-not-routed"),
    ] {
        let changed = change(desk, &[option, value]);
        assert_eq!(codes(&changed), [code], "{value}");
        assert_eq!(problems(&session.status().unwrap()), [code]);
        change(desk, &["--undo"]);
        assert_eq!(
            problems(&session.status().unwrap()),
            [""; 0],
            "withdrawn: {value}"
        );
    }
    session.disconnect();
}
