//! Ends of sessions, in all ways and at all moments: nothing is left. Every test on a laptop also checks that the laptop
//! is as before.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may panic"
)]
#![expect(clippy::print_stdout, reason = "tests print figures")]

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use slipway_cluster_tests::{
    Bed, CONNECTING, Desk, Gone, LaptopKind, Session, Tray, bed, on_each_laptop, on_the_plain_laptop,
    path_text, problems, program, until, until_within, with_laptop,
};

on_each_laptop!(
    a_killed_session_leaves_nothing,
    a_killed_helper_leaves_nothing,
    a_killed_desktop_leaves_its_session_connected,
    a_kill_of_all_programs_at_once_leaves_nothing,
);
on_the_plain_laptop!(
    an_agent_without_a_client_ends,
    a_helper_that_does_not_come_back_ends_the_session,
);

const PAGE: &str = "http://web.shop.svc.cluster.local/";

/// Graces of sessions that are ended by Ctrl-C at each moment, and of those that are killed. No other test uses them.
const INTERRUPTED: Range<usize> = 6..10;
const KILLED: Range<usize> = 10..14;

/// How long a pod waits for the upload of its agent to begin.
const UPLOAD_BEGINS: Duration = Duration::from_secs(30);

/// How long a session waits for the helper to return.
const HELPER_RETURNS: Duration = Duration::from_secs(10);

/// How long the cluster may take to remove a pod whose agent ended.
const REMOVED: Duration = Duration::from_secs(15);

fn a_killed_session_leaves_nothing(desk: &Desk<'_>) {
    let session = desk.connect(&[]);
    assert!(desk.page(PAGE).is_some());
    session.kill();
    is_disconnected(desk);
}

fn a_killed_helper_leaves_nothing(desk: &Desk<'_>) {
    let session = desk.connect(&[]);
    desk.kill_helper();
    session.kill();
    is_disconnected(desk);
}

fn a_helper_that_does_not_come_back_ends_the_session(desk: &Desk<'_>) {
    let mut session = desk.connect(&[]);
    let killed = Instant::now();
    desk.kill_helper();
    // The routes are gone with the helper, and the session waits for it.
    until("the cluster is out of reach", || desk.page(PAGE).is_none()).expect("out of reach");
    until("the status says why", || {
        session
            .status()
            .is_some_and(|status| problems(&status).contains(&"helper-away"))
    })
    .expect("said");
    let id = session.status().expect("it waits")["id"].clone();
    let id = id.as_str().expect("an id");
    assert!(session.running.is_alive());
    until_within(HELPER_RETURNS + REMOVED, "the session ends", || {
        !session.running.is_alive()
    })
    .expect("ended");
    let waited = killed.elapsed();
    assert_ne!(session.running.wait(), Some(0));
    let said = session.running.said();
    assert!(said.contains("helper-gone"), "{said}");
    assert!(waited >= HELPER_RETURNS, "{waited:?}");
    is_disconnected(desk);

    // `slipway status` and `slipway logs` show it later too, until the next session connects.
    let slipway = program("slipway");
    let status = || desk.text(path_text(&slipway), &["status"]);
    let text = status();
    assert!(text.contains("ended by itself") && text.contains(id), "{text}");
    let logs = desk.text(path_text(&slipway), &["logs"]);
    assert!(
        logs.contains("connected") && logs.contains("helper-gone"),
        "{logs}"
    );
    desk.start_helper();
    desk.connect(&[]).disconnect();
    assert_eq!(status(), "Not connected.\n");
}

/// The driver checks that the page is reachable without a desktop, and that the next desktop can disconnect.
fn a_killed_desktop_leaves_its_session_connected(desk: &Desk<'_>) {
    let profile = SavedProfile::create(desk);
    let (driver, desktop) = (program("slipway-tray-driver"), program("slipway-desktop"));
    let arguments = ["--desktop", path_text(&desktop), "--page", PAGE, "--crash"];
    let page = desk.text(path_text(&driver), &arguments);
    assert!(page.starts_with("hello from web-"), "{page}");
    assert!(desk.status().is_empty());
    drop(profile);
}

fn a_kill_of_all_programs_at_once_leaves_nothing(desk: &Desk<'_>) {
    let profile = SavedProfile::create(desk);
    let tray = Tray::connect(desk, PAGE);
    let session = desk.status().remove(0);
    assert_eq!(session["state"], "connected");
    let pod = session["agent"]["pod"].as_str().unwrap().to_owned();
    let pid = Pid::from_raw(i32::try_from(session["pid"].as_i64().unwrap()).unwrap());
    for process in [pid, tray.desktop] {
        kill(process, Signal::SIGKILL).unwrap();
    }
    desk.kill_helper();
    is_disconnected(desk);

    // Their files are left, without effect.
    let socket = format!("/run/user/2000/slipway/{}.sock", session["id"].as_str().unwrap());
    assert!(
        desk.output("test", &["-S", &socket]).status.success(),
        "a killed session has no time to remove its socket {socket}"
    );
    assert!(desk.status().is_empty(), "{:?}", desk.status());
    drop(tray);
    until_within(
        Duration::from_secs(5) + REMOVED,
        "the agent's pod is gone",
        || !pods(desk).contains(&pod),
    )
    .expect("gone");
    desk.start_helper();
    let again = desk.connect(&[]);
    assert!(desk.page(PAGE).is_some());
    assert_eq!(desk.status().len(), 1);
    again.disconnect();
    drop(profile);
}

#[test]
#[ignore = "needs root"]
fn ctrl_c_while_connecting_leaves_nothing() {
    let left = with_laptop(LaptopKind::Plain, |desk| {
        end_at_each_moment(desk, INTERRUPTED, |moment, mut session| {
            let asked = Instant::now();
            session.running.signal(Signal::SIGINT);
            assert_eq!(
                session.running.wait(),
                Some(0),
                "{moment:?}: {}",
                session.running.said()
            );
            println!("Ctrl-C while {moment:?}: ended {:?} later", asked.elapsed());
        })
    });
    goes_by_itself(&left, &INTERRUPTED);
}

#[test]
#[ignore = "needs root"]
fn a_session_killed_while_connecting_leaves_nothing() {
    let left = with_laptop(LaptopKind::Plain, |desk| {
        end_at_each_moment(desk, KILLED, |_, session| session.kill())
    });
    goes_by_itself(&left, &KILLED);
}

/// Ends a session at each moment, and checks that nothing is left on the laptop and that the next session connects.
/// Returns what is left in the cluster.
///
/// Each moment has its own grace, so each session needs a new agent, and the session after it needs the same one.
fn end_at_each_moment(
    desk: &Desk<'_>,
    graces: Range<usize>,
    end: fn(Moment, Session<'_>),
) -> BTreeSet<String> {
    let mut left = BTreeSet::new();
    assert_eq!(graces.len(), Moment::ALL.len(), "one for each moment");
    for (grace, moment) in graces.clone().zip(Moment::ALL) {
        let arguments = ["--agent-grace", &grace.to_string()];
        moment.meet(desk, &arguments, |session| end(moment, session));
        is_disconnected(desk);
        assert!(desk.status().is_empty(), "{moment:?}: {:?}", desk.status());
        left.extend(agents(desk.bed, &graces));
        let next = desk.connect(&arguments);
        assert!(desk.page(PAGE).is_some(), "{moment:?}");
        next.disconnect();
    }
    println!("in the cluster for now: {left:?}");
    assert!(left.iter().any(|agent| agent.starts_with("Pod/")), "{left:?}");
    left
}

/// Waits until no agent with these graces is left in the cluster. No client runs.
fn goes_by_itself(left: &BTreeSet<String>, graces: &Range<usize>) {
    let bed = bed();
    until_within(UPLOAD_BEGINS + REMOVED, "no agent is left", || {
        agents(bed, graces).iter().all(|agent| !left.contains(agent))
    })
    .unwrap_or_else(|why| panic!("{why}: {:?} of {left:?}", agents(bed, graces)));
}

/// Moments at which a connecting session is blocked, so that it can be ended there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// The API server does not answer.
    Preparing,
    /// The pod was created and does not run yet.
    Placing,
    /// The pod runs and waits for its agent, and the API server does not answer.
    Uploading,
    /// The agent runs, and the helper does not answer.
    Connecting,
}

impl Moment {
    const ALL: [Moment; 4] = [
        Moment::Preparing,
        Moment::Placing,
        Moment::Uploading,
        Moment::Connecting,
    ];

    /// Brings a session to this moment, and ends it there.
    fn meet(self, desk: &Desk<'_>, arguments: &[&str], end: impl FnOnce(Session<'_>)) {
        let states = desk.states();
        let at = |state: &str| {
            states
                .wait(CONNECTING, state)
                .unwrap_or_else(|why| panic!("{why}"))
        };
        match self {
            Moment::Preparing => {
                let _gone = Gone::begin(desk);
                let session = desk.start_connecting(arguments);
                at("preparing");
                end(session);
            }
            Moment::Placing => {
                let session = desk.start_connecting(arguments);
                at("placing");
                end(session);
            }
            Moment::Uploading => {
                let session = desk.start_connecting(arguments);
                at("placing");
                let grace: usize = arguments[1].parse().unwrap();
                until_within(CONNECTING, "the agent's pod is there", || {
                    let agents = agents(desk.bed, &(grace..grace + 1));
                    agents.iter().any(|agent| agent.starts_with("Pod/"))
                })
                .unwrap();
                let _gone = Gone::begin(desk);
                end(session);
            }
            Moment::Connecting => {
                let session = desk.start_connecting(arguments);
                at("placing");
                let _frozen = desk.freeze_helper();
                at("connecting");
                // The agent answers, so the session waits for the helper.
                until_within(CONNECTING, "the laptop is to be connected", || {
                    session
                        .status()
                        .is_some_and(|status| status["step"] == "Connecting the laptop")
                })
                .unwrap();
                end(session);
            }
        }
    }
}

fn an_agent_without_a_client_ends(desk: &Desk<'_>) {
    let session = desk.connect(&[]);
    let pod = agent_of(&session);
    session.kill();
    until_within(
        Duration::from_secs(5) + REMOVED,
        "the agent's pod is gone",
        || !pods(desk).contains(&pod),
    )
    .expect("gone");
}

/// With the default grace. Other tests may use the laptop meanwhile.
#[test]
#[ignore = "needs root"]
fn an_agent_ends_ninety_seconds_after_its_last_client() {
    let grace = Duration::from_secs(90);
    let left = with_laptop(LaptopKind::Firewall, |desk| {
        let mut session = desk.start_session(&["connect"]);
        until_within(CONNECTING, "the session is connected", || {
            session.state().as_deref() == Some("connected")
        })
        .unwrap_or_else(|why| panic!("{why}: {}", session.running.said()));
        let pod = agent_of(&session);
        session.running.kill();
        (pod, Instant::now())
    });
    let ((pod, since), bed) = (left, bed());
    let exists = || {
        let name = format!("pod/{pod}");
        let arguments = [
            "--namespace",
            "shop",
            "get",
            &name,
            "--ignore-not-found",
            "--output=name",
        ];
        let listed = bed.kubectl(arguments).output().unwrap();
        assert!(listed.status.success(), "{listed:?}");
        !listed.stdout.is_empty()
    };
    // The pod is checked up to its last second.
    let _ = until_within(grace - Duration::from_secs(3), "the agent's pod is gone", || {
        std::thread::sleep(Duration::from_secs(1));
        !exists()
    })
    .expect_err("the agent waits for its whole grace time");
    until_within(
        REMOVED + Duration::from_secs(3),
        "the agent's pod is gone",
        || !exists(),
    )
    .unwrap();
    println!(
        "the agent's pod was gone {:?} after its last client",
        since.elapsed()
    );
}

fn is_disconnected(desk: &Desk<'_>) {
    until("the cluster is out of reach", || desk.page(PAGE).is_none()).expect("out of reach");
    assert!(desk.resolves("www.public.test"), "plain networking works at once");
}

/// A profile with a short grace, which the tray connects.
struct SavedProfile<'a>(&'a Desk<'a>);

impl SavedProfile<'_> {
    const NAME: &'static str = "brief";

    fn create<'a>(desk: &'a Desk<'a>) -> SavedProfile<'a> {
        let slipway = program("slipway");
        let arguments = ["profiles", "create", Self::NAME, "--agent-grace", "5"];
        desk.text(path_text(&slipway), &arguments);
        SavedProfile(desk)
    }
}

impl Drop for SavedProfile<'_> {
    fn drop(&mut self) {
        let slipway = program("slipway");
        let _ = self
            .0
            .output(path_text(&slipway), &["profiles", "delete", Self::NAME]);
    }
}

fn agent_of(session: &Session<'_>) -> String {
    session.status().unwrap()["agent"]["pod"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// Returns the names of all agents' pods and Jobs.
fn pods(desk: &Desk<'_>) -> String {
    let all = jobs_and_pods(desk.bed).into_iter().map(|(name, _)| name);
    all.collect::<Vec<_>>().join(" ")
}

/// Returns Jobs and pods of agents with one of these graces. Sessions of other tests, which run at the same time, have
/// other graces.
fn agents(bed: &Bed, graces: &Range<usize>) -> Vec<String> {
    let is_of = |text: &str| {
        graces
            .clone()
            .any(|grace| text.contains(&format!("--grace {grace} ")))
    };
    let all = jobs_and_pods(bed).into_iter();
    all.filter(|(_, text)| is_of(text))
        .map(|(name, _)| name)
        .collect()
}

/// Returns the agents' objects in the cluster: `KIND/NAME`, and the object.
fn jobs_and_pods(bed: &Bed) -> Vec<(String, String)> {
    let arguments = ["--namespace", "shop", "get", "jobs,pods", "--output=json"];
    let listed = bed.kubectl(arguments).output().unwrap();
    assert!(listed.status.success(), "{listed:?}");
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    let text =
        |item: &serde_json::Value, field: &str| item.pointer(field).unwrap().as_str().unwrap().to_owned();
    let items = listed["items"].as_array().unwrap().iter();
    items
        .map(|item| {
            let name = format!("{}/{}", text(item, "/kind"), text(item, "/metadata/name"));
            (name, item.to_string())
        })
        .filter(|(name, _)| name.contains("slipway-agent"))
        .collect()
}
