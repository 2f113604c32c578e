//! API servers that do not answer, or have a wrong certificate.

use std::time::Duration;

use serde_json::json;
use slipway_cluster_tests::{Desk, LaptopFile, NodeRule, on_the_plain_laptop};

use crate::support::{AT_ONCE, Attempt};

on_the_plain_laptop!(
    a_refused_connection_is_reported_at_once,
    a_silent_api_server_is_given_up_in_time,
    a_server_name_that_does_not_resolve_is_reported,
    a_certificate_of_another_authority_is_not_accepted,
    a_certificate_for_another_name_is_not_accepted,
);

/// Limit of a failed connection: longer than a connection may take, and much shorter than a user waits.
const GIVEN_UP: Duration = Duration::from_secs(20);

/// A port on the node without a listener, which the node does not filter.
const CLOSED: u16 = 7009;

/// Makes the node refuse or ignore connections to a port, until the returned rule is dropped.
fn port<'a>(desk: &'a Desk<'a>, verdict: &str) -> NodeRule<'a> {
    NodeRule::begin(desk, "port", &format!("tcp dport {CLOSED} {verdict}"))
}

/// Checks a failure to connect to another address; `slipway doctor` must find the same.
fn fails_at(
    desk: &Desk<'_>,
    server: &str,
    within: Duration,
    code: &str,
    cause: &[&str],
    remedy: &[&str],
) -> Duration {
    let file = LaptopFile::kubeconfig(desk, |config| {
        config["clusters"][0]["cluster"]["server"] = json!(server)
    });
    let failure = Attempt::connect(desk, &["--kubeconfig", &file.path]).fails(within);
    failure.is(code, &[&[server], cause].concat(), remedy);
    let doctor = ["doctor", "--json", "--kubeconfig", file.path.as_str()];
    Attempt::new(desk, &doctor)
        .findings(true)
        .one("api-server", "fail", code);
    failure.took
}

fn a_refused_connection_is_reported_at_once(desk: &Desk<'_>) {
    let _refuses = port(desk, "reject with tcp reset");
    let server = format!("https://{}:{CLOSED}", desk.laptop.node());
    fails_at(
        desk,
        &server,
        AT_ONCE,
        "api-unreachable",
        &["Connection refused"],
        &["VPN is connected"],
    );
}

fn a_silent_api_server_is_given_up_in_time(desk: &Desk<'_>) {
    let _swallows = port(desk, "drop");
    let server = format!("https://{}:{CLOSED}", desk.laptop.node());
    let took = fails_at(
        desk,
        &server,
        GIVEN_UP,
        "api-unreachable",
        &[],
        &["VPN is connected"],
    );
    assert!(took > Duration::from_secs(2), "it was waited for: {took:?}");
    // Other commands with the same server do not wait longer.
    let file = LaptopFile::kubeconfig(desk, |config| {
        config["clusters"][0]["cluster"]["server"] = json!(server)
    });
    let list = ["list", "namespaces", "--json", "--kubeconfig", &file.path];
    Attempt::new(desk, &list)
        .fails(GIVEN_UP)
        .is("api-unreachable", &[&server], &["VPN is connected"]);
}

fn a_server_name_that_does_not_resolve_is_reported(desk: &Desk<'_>) {
    fails_at(
        desk,
        "https://api.nowhere.invalid:6443",
        AT_ONCE,
        "api-name-unknown",
        &["does not resolve"],
        &["server name in the kubeconfig"],
    );
}

fn wrong_certificate(desk: &Desk<'_>, change: impl FnOnce(&mut serde_json::Value), cause: &str) {
    let file = LaptopFile::kubeconfig(desk, change);
    let failure = Attempt::connect(desk, &["--kubeconfig", &file.path]).fails(AT_ONCE);
    failure.is("api-certificate", &[cause], &["Fetch a new kubeconfig"]);
    let doctor = ["doctor", "--json", "--kubeconfig", file.path.as_str()];
    Attempt::new(desk, &doctor)
        .findings(true)
        .one("api-server", "fail", "api-certificate");
}

fn a_certificate_of_another_authority_is_not_accepted(desk: &Desk<'_>) {
    wrong_certificate(
        desk,
        |config| {
            // Any other certificate serves as a wrong authority.
            let other = config["users"][0]["user"]["client-certificate-data"].clone();
            config["clusters"][0]["cluster"]["certificate-authority-data"] = other;
        },
        "an authority that the kubeconfig does not name",
    );
}

fn a_certificate_for_another_name_is_not_accepted(desk: &Desk<'_>) {
    wrong_certificate(
        desk,
        |config| config["clusters"][0]["cluster"]["tls-server-name"] = json!("api.somewhere.test"),
        "it is for another name or address",
    );
}
