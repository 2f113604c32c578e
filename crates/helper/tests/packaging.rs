//! Tests of the systemd unit in `packaging`.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "functions of tests may panic and print"
)]

use std::process::Command;

const UNIT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../packaging/systemd/slipway-helper.service"
);

#[test]
#[ignore = "needs systemd-analyze"]
fn the_units_exposure_is_two_of_ten_at_most() {
    let analyzed = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager", UNIT])
        .output()
        .expect("systemd-analyze");
    let said = String::from_utf8(analyzed.stdout).expect("text");
    let line = said
        .lines()
        .find(|line| line.contains("Overall exposure level"))
        .expect("a score");
    let score: f64 = line
        .split(':')
        .next_back()
        .and_then(|rest| rest.split_whitespace().next())
        .expect("a score")
        .parse()
        .expect("a number");
    assert!(score <= 2.0, "{line}");
}

#[test]
fn the_unit_does_not_break_the_sockets_of_sessions() {
    let unit = std::fs::read_to_string(UNIT).expect("the unit");
    let sets = |key: &str| unit.lines().any(|line| line.starts_with(key));
    assert!(sets("AmbientCapabilities=CAP_NET_ADMIN") && sets("CapabilityBoundingSet=CAP_NET_ADMIN"));
    assert!(
        sets("RuntimeDirectoryMode=0755"),
        "every user must reach the socket"
    );
    for breaking in [
        "IPAddressDeny",
        "PrivateNetwork",
        "PrivateUsers",
        "PrivateDevices",
    ] {
        assert!(!sets(breaking), "{breaking}");
    }
}
