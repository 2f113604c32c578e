//! Simultaneous starts: a place or profile has one session.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use slipway_cluster_tests::{CONNECTING, Desk, Running, on_the_plain_laptop, until, until_within};

on_the_plain_laptop!(
    of_several_simultaneous_starts_one_connects,
    a_killed_session_blocks_no_new_one,
);

const PAGE: &str = "http://web.shop.svc.cluster.local";
const STARTS: usize = 6;

fn of_several_simultaneous_starts_one_connects(desk: &Desk<'_>) {
    assert_eq!(desk.page(PAGE), None, "not reachable before");
    let _profile = Profile::make(desk);
    for arguments in [
        &["connect", "once", "--agent-grace", "5"][..],
        &["connect", "--agent-grace", "5"],
    ] {
        let mut starts: Vec<Running> = (0..STARTS)
            .map(|_| Running::start(desk.slipway(arguments)))
            .collect();
        until_within(
            CONNECTING,
            "all but one have given up, and that one is connected",
            || {
                let status = desk.status();
                assert!(status.len() <= 1, "several came about: {status:?}");
                let alive = starts.iter().filter(|start| start.is_alive()).count();
                alive == 1 && status.iter().any(|session| session["state"] == "connected")
            },
        )
        .unwrap();
        assert!(desk.page(PAGE).is_some());
        let sessions = desk.status();
        let id = sessions[0]["id"].as_str().unwrap();
        for start in starts.iter_mut().filter(|start| !start.is_alive()) {
            assert_eq!(start.wait(), Some(255), "{}", start.said());
            let said = start.said();
            assert!(said.contains("already-connected") && said.contains(id), "{said}");
        }
        assert!(desk.slipway(&["disconnect", id]).status().unwrap().success());
        until("the session is over", || {
            starts.iter().all(|start| !start.is_alive())
        })
        .unwrap();
    }
    assert_eq!(desk.page(PAGE), None, "not reachable after");
}

fn a_killed_session_blocks_no_new_one(desk: &Desk<'_>) {
    let first = desk.connect(&[]);
    let mut refused = Running::start(desk.slipway(&["connect"]));
    assert_eq!(refused.wait(), Some(255), "{}", refused.said());
    first.kill();
    let second = desk.connect(&[]);
    assert!(desk.page(PAGE).is_some());
    second.disconnect();
}

/// The profile `once`, deleted when this is dropped.
struct Profile<'a>(&'a Desk<'a>);

impl Profile<'_> {
    fn make<'a>(desk: &'a Desk<'a>) -> Profile<'a> {
        let made = desk
            .slipway(&["profiles", "create", "once", "--namespace", "shop"])
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        Profile(desk)
    }
}

impl Drop for Profile<'_> {
    fn drop(&mut self) {
        let _ = self.0.slipway(&["profiles", "delete", "once"]).status();
    }
}
