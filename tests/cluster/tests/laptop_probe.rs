//! The probe from the laptop's side: a connected session says when programs do not reach the cluster.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::time::Duration;

use nix::sys::signal::Signal;
use slipway_cluster_tests::{Desk, Session, on_the_plain_laptop, problems, until_within};

on_the_plain_laptop!(
    a_firewall_that_drops_packets_is_reported,
    another_answer_for_the_clusters_names_is_reported,
    a_session_probes_when_the_laptop_wakes_up,
);

const PAGE: &str = "http://web.shop.svc.cluster.local";

/// Time until two probes in a row have failed: one pause, two connections without an answer and the pause between them.
const NOTICED: Duration = Duration::from_secs(15 + 5 + 3 + 5 + 4);

/// Time until a probe after a failed one is over.
const BACK: Duration = Duration::from_secs(10);

/// Firewall of the laptop that drops packets to the cluster's API server, until this is dropped.
struct Firewall<'a>(&'a Desk<'a>);

impl<'a> Firewall<'a> {
    const TABLE: &'static str = "inet slipway-test-firewall";

    fn begin(desk: &'a Desk<'a>) -> Firewall<'a> {
        let firewall = Firewall(desk);
        let rules = format!(
            "table {} {{ chain out {{ type filter hook output priority 0; oifname \"slipway*\" tcp dport 443 drop; }}; }}",
            Self::TABLE
        );
        desk.as_root("nft", &[&rules]);
        firewall
    }
}

impl Drop for Firewall<'_> {
    fn drop(&mut self) {
        let delete = format!("delete table {}", Self::TABLE);
        self.0.output_as_root("nft", &[&delete]);
    }
}

fn codes(session: &Session<'_>) -> Vec<String> {
    let status = session.status().unwrap();
    problems(&status).into_iter().map(str::to_owned).collect()
}

fn is_reported_within(session: &Session<'_>, limit: Duration, code: &str) {
    until_within(limit, code, || codes(session) == [code])
        .unwrap_or_else(|why| panic!("{why}: {:?}", codes(session)));
    assert_eq!(session.state().as_deref(), Some("connected"));
}

fn is_withdrawn(session: &Session<'_>) {
    until_within(BACK, "the problem is withdrawn", || codes(session).is_empty()).unwrap();
}

fn a_firewall_that_drops_packets_is_reported(desk: &Desk<'_>) {
    let session = desk.connect(&[]);
    assert!(desk.page(PAGE).is_some());
    let firewall = Firewall::begin(desk);
    is_reported_within(&session, NOTICED, "laptop-connections-fail");
    drop(firewall);
    is_withdrawn(&session);
    let names = desk.slipway(&["names"]).output().unwrap();
    let names = String::from_utf8(names.stdout).unwrap();
    assert!(names.contains("web.shop"), "{names}");
    assert!(
        !names.contains("kubernetes.default"),
        "no program asked for it: {names}"
    );
    session.disconnect();
}

fn another_answer_for_the_clusters_names_is_reported(desk: &Desk<'_>) {
    let session = desk.connect(&[]);
    let hosts = desk.text("cat", &["/etc/hosts"]);
    let line = "127.0.0.9 kubernetes.default.svc.cluster.local";
    desk.laptop
        .write("/etc/hosts", &format!("{hosts}{line}\n"))
        .unwrap();
    let restored = Guard(|| desk.laptop.write("/etc/hosts", &hosts).unwrap());
    is_reported_within(&session, NOTICED, "laptop-names-fail");
    let cause = session.status().unwrap()["problems"][0]["cause"].to_string();
    assert!(cause.contains("127.0.0.9"), "{cause}");
    drop(restored);
    is_withdrawn(&session);
    session.disconnect();
}

/// Runs a function when this is dropped, also when the test fails.
struct Guard<F: FnMut()>(F);

impl<F: FnMut()> Drop for Guard<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

fn a_session_probes_when_the_laptop_wakes_up(desk: &Desk<'_>) {
    let session = desk.connect(&[]);
    // The first probe is over, and the next one is due in 15 s.
    until_within(BACK, "the first look-up", || desk.page(PAGE).is_some()).unwrap();
    let _firewall = Firewall::begin(desk);
    session.running.signal(Signal::SIGSTOP);
    std::thread::sleep(Duration::from_secs(6));
    session.running.signal(Signal::SIGCONT);
    // Two connections without an answer, and the pause between them.
    is_reported_within(
        &session,
        Duration::from_secs(5 + 3 + 5 + 1),
        "laptop-connections-fail",
    );
    session.disconnect();
}
