//! Faults during a session, which open connections survive.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may panic"
)]
#![expect(clippy::print_stdout, reason = "tests print figures")]

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use slipway_cluster_tests::{
    CONNECTING, Conversation, Desk, Gone, Moved, NodeRule, Session, on_the_plain_laptop, problems,
    until_within,
};

on_the_plain_laptop!(
    an_open_connection_outlives_the_api_connection,
    an_open_connection_outlives_twenty_seconds_without_api,
    an_open_connection_outlives_a_restart_of_the_api_server,
    an_open_connection_outlives_a_change_of_address,
    a_helper_that_comes_back_keeps_open_connections,
    a_lost_agent_is_replaced_and_its_connections_are_reset,
    a_replacement_waits_for_a_node,
    a_replacement_waits_for_the_api_server,
    a_lost_agent_is_remembered_with_its_end,
    sigterm_ends_a_session_with_success,
);

const PAGE: &str = "http://web.shop.svc.cluster.local";

/// The gap that programs may see when the API connection is killed.
const GAP: Duration = Duration::from_millis(500);

/// How long a session may take to reconnect after the API server's return.
const BACK: Duration = Duration::from_secs(2);

fn an_open_connection_outlives_the_api_connection(desk: &Desk<'_>) {
    let session = desk.connect(&[]);
    let mut conversation = Conversation::begin(desk);
    let states = desk.states();
    states.wait(CONNECTING, "connected").expect("watched");
    let node = desk.laptop.node().to_string();
    let mut gaps = Vec::new();
    for time in 1..=3 {
        // After some seconds, so that the cut carriers are in their usual state and not new.
        conversation.goes_on_for(1 << 20);
        // Starts the measurement of the gap.
        let _ = conversation.gap();
        let cut = desk
            .laptop
            .command_as_root("ss", ["-K", "dst", &node, "dport", "=", "6443"])
            .output();
        assert!(
            String::from_utf8_lossy(&cut.unwrap().stdout).contains("6443"),
            "there was something to cut"
        );
        conversation.goes_on();
        // Each cut changes the state, which then is connected again.
        until_within(CONNECTING, "the session is connected again", || {
            states.seen().len() == 1 + 2 * time
        })
        .unwrap_or_else(|why| panic!("{why}: {:?}", states.seen()));
        gaps.push(conversation.gap());
    }
    let shown = ["connected", "reconnecting"].iter().cycle();
    assert!(states.seen().iter().eq(shown.take(7)), "{:?}", states.seen());
    let bytes = conversation.end();
    println!("API connection killed: gaps {gaps:?}, {bytes} bytes whole");
    gaps.sort();
    assert!(gaps[1] < GAP, "{gaps:?}");
    session.disconnect();
}

fn an_open_connection_outlives_twenty_seconds_without_api(desk: &Desk<'_>) {
    let session = desk.connect(&["--agent-grace", "60"]);
    let mut conversation = Conversation::begin(desk);
    let states = desk.states();
    states.wait(CONNECTING, "connected").expect("watched");
    let gone = Gone::begin(desk);
    states
        .wait(Duration::from_secs(15), "reconnecting")
        .expect("reconnecting");
    gone.last(Duration::from_secs(20));
    let back = Instant::now();
    states
        .wait(Duration::from_secs(10), "connected")
        .expect("connected");
    let connected = back.elapsed();
    conversation.goes_on();
    let goes_on = back.elapsed();
    let gap = conversation.gap();
    let bytes = conversation.end();
    println!(
        "API server gone for 20 s: connected {connected:?} after it was back, the conversation {goes_on:?}; \
         gap {gap:?}, {bytes} bytes whole"
    );
    assert!(connected < BACK, "{connected:?}");
    session.disconnect();
}

fn an_open_connection_outlives_a_restart_of_the_api_server(desk: &Desk<'_>) {
    let _locks = desk.alone();
    let session = desk.connect(&["--agent-grace", "60"]);
    let mut conversation = Conversation::begin(desk);
    let states = desk.states();
    states.wait(CONNECTING, "connected").expect("watched");
    let killed = Instant::now();
    desk.bed.restart_api_server().unwrap();
    let ready = killed.elapsed();
    states.wait(CONNECTING, "connected").expect("connected again");
    let connected = killed.elapsed();
    conversation.goes_on();
    let gap = conversation.gap();
    assert_eq!(
        states.seen(),
        ["connected", "reconnecting", "connected"],
        "the loss was shown"
    );
    let bytes = conversation.end();
    println!(
        "API server killed: another one ready after {ready:?}, connected after {connected:?}; \
         gap {gap:?}, {bytes} bytes whole"
    );
    assert!(connected < ready + BACK, "{connected:?}");
    assert!(desk.page(PAGE).is_some());
    session.disconnect();
}

fn an_open_connection_outlives_a_change_of_address(desk: &Desk<'_>) {
    let session = desk.connect(&["--agent-grace", "60"]);
    let mut conversation = Conversation::begin(desk);
    let began = Instant::now();
    let moved = Moved::begin(desk);
    // Carriers are replaced one after the other, so there may be no moment without one.
    until_within(CONNECTING, "a carrier has the other address", || moved.is_used()).unwrap();
    let noticed = began.elapsed();
    conversation.goes_on();
    let gap = conversation.gap();
    println!("address changed: carriers from the other one after {noticed:?}, gap {gap:?}");
    // The kernel reports the change; detection by silence would take nine seconds.
    assert!(noticed < Duration::from_secs(4), "{noticed:?}");
    assert!(gap < Duration::from_secs(6), "{gap:?}");
    assert!(desk.page(PAGE).is_some());
    assert!(desk.resolves("www.public.test"), "public names answer as before");
    // Back in the first network, where an old carrier may work again.
    drop(moved);
    conversation.goes_on();
    assert_eq!(session.state().as_deref(), Some("connected"));
    let bytes = conversation.end();
    println!("address changed back: {bytes} bytes whole");
    assert!(desk.resolves("www.public.test"), "public names answer as before");
    session.disconnect();
}

fn a_helper_that_comes_back_keeps_open_connections(desk: &Desk<'_>) {
    let session = desk.connect(&[]);
    let mut conversation = Conversation::begin(desk);
    desk.replace_helper(Duration::from_secs(1));
    conversation.goes_on();
    assert!(desk.page(PAGE).is_some());
    let gap = conversation.gap();
    let bytes = conversation.end();
    println!("helper gone for 1 s: gap {gap:?}, {bytes} bytes whole");
    let status = session.status().unwrap();
    assert_eq!(problems(&status), [""; 0], "what is over is no problem: {status}");
    session.disconnect();
}

fn a_lost_agent_is_replaced_and_its_connections_are_reset(desk: &Desk<'_>) {
    let session = desk.connect(&[]);
    let mut conversation = Conversation::begin(desk);
    let pod = agent_of(&session);
    let states = desk.states();
    states.wait(CONNECTING, "connected").expect("watched");
    // Without a wait for the end of the pod, because another agent may serve by then.
    desk.kubectl(&[
        "--namespace",
        "shop",
        "delete",
        "pod",
        &pod,
        "--grace-period=0",
        "--force",
        "--wait=false",
    ]);
    states
        .wait(CONNECTING, "placing")
        .expect("another agent is placed");
    // Opened while there is no agent.
    let echo = desk.address("service/echo", "{.spec.clusterIP}");
    let waits = "import socket, sys, time\n\
                 begun = time.monotonic()\n\
                 s = socket.create_connection((sys.argv[1], 7000), 40); s.settimeout(40)\n\
                 s.sendall(b'hello'); assert s.recv(5) == b'hello'\n\
                 print(time.monotonic() - begun)";
    let opened = desk.text("python3", &["-c", waits, &echo]);
    println!(
        "opened while there was no agent: answered after {} s",
        opened.trim_end()
    );
    states.wait(CONNECTING, "connected").expect("connected again");
    assert_ne!(agent_of(&session), pod, "another agent serves");
    let failure = conversation.failure();
    assert!(
        failure.starts_with("ConnectionResetError"),
        "connections of the lost agent are reset, not: {failure}"
    );
    assert!(desk.page(PAGE).is_some());
    session.disconnect();
}

/// A drain: there is no room for the new pod for longer than a scheduler takes.
fn a_replacement_waits_for_a_node(desk: &Desk<'_>) {
    let _locks = desk.alone();
    let session = desk.connect(&[]);
    let address = desk.address("service/web", "{.spec.clusterIP}");
    let states = desk.states();
    states.wait(CONNECTING, "connected").expect("watched");
    let cordoned = Cordoned::begin(desk);
    lose_agent(desk, &session);
    states
        .wait(CONNECTING, "placing")
        .expect("another agent is placed");
    until_within(CONNECTING, "the scheduler's text is shown", || {
        let step = session.status().unwrap()["step"].to_string();
        step.contains("0/1 nodes are available")
    })
    .unwrap_or_else(|why| panic!("{why}: {:?}", session.status()));
    let waited = Instant::now();
    while waited.elapsed() < Duration::from_secs(15) {
        let route = desk.text("ip", &["route", "get", &address]);
        assert!(route.contains("slipway"), "nothing leaves the tunnel: {route}");
        std::thread::sleep(Duration::from_secs(1));
    }
    assert_eq!(session.state().as_deref(), Some("placing"));
    drop(cordoned);
    states.wait(CONNECTING, "connected").expect("connected again");
    assert!(desk.page(PAGE).is_some());
    assert_eq!(problems(&session.status().unwrap()), [""; 0]);
    session.disconnect();
}

/// An API server that refuses connections in the moment in which the agent is lost.
fn a_replacement_waits_for_the_api_server(desk: &Desk<'_>) {
    let session = desk.connect(&[]);
    let states = desk.states();
    states.wait(CONNECTING, "connected").expect("watched");
    lose_agent(desk, &session);
    let refusing = NodeRule::begin(desk, "refuses", "tcp dport 6443 reject with tcp reset");
    states
        .wait(CONNECTING, "placing")
        .expect("another agent is placed");
    until_within(CONNECTING, "the status says why", || {
        problems(&session.status().unwrap()) == ["api-unreachable"]
    })
    .unwrap_or_else(|why| panic!("{why}: {:?}", session.status()));
    std::thread::sleep(Duration::from_secs(8));
    assert_eq!(session.state().as_deref(), Some("placing"));
    drop(refusing);
    states.wait(CONNECTING, "connected").expect("connected again");
    assert!(desk.page(PAGE).is_some());
    session.disconnect();
}

/// A cluster whose nodes take no new pods, until this is dropped.
struct Cordoned<'a> {
    desk: &'a Desk<'a>,
    nodes: String,
}

impl<'a> Cordoned<'a> {
    fn begin(desk: &'a Desk<'a>) -> Cordoned<'a> {
        let nodes = desk.kubectl(&["get", "nodes", "--output=name"]);
        let cordoned = Cordoned { desk, nodes };
        cordoned.all("cordon");
        cordoned
    }

    fn all(&self, verb: &str) {
        for node in self.nodes.lines() {
            let _ = self.desk.bed.kubectl([verb, node]).output();
        }
    }
}

impl Drop for Cordoned<'_> {
    fn drop(&mut self) {
        self.all("uncordon");
    }
}

/// Deletes the pod of a session's agent, without a wait for its end.
fn lose_agent(desk: &Desk<'_>, session: &Session<'_>) {
    let pod = agent_of(session);
    desk.kubectl(&["--namespace", "shop", "delete", "pod", &pod, "--wait=false"]);
}

fn sigterm_ends_a_session_with_success(desk: &Desk<'_>) {
    let mut session = desk.connect(&[]);
    session.running.signal(Signal::SIGTERM);
    assert_eq!(session.running.wait(), Some(0));
    assert_eq!(desk.page(PAGE), None);
    assert!(desk.status().is_empty());
}

fn agent_of(session: &Session<'_>) -> String {
    session.status().unwrap()["agent"]["pod"]
        .as_str()
        .unwrap()
        .to_owned()
}

fn a_lost_agent_is_remembered_with_its_end(desk: &Desk<'_>) {
    let session = desk.connect(&[]);
    let _conversation = Conversation::begin(desk);
    let pod = agent_of(&session);
    // Not by memory: with version 1 of cgroups, the kernel kills the process that takes it, and not the container.
    // The command may end with the container, and so fail.
    let kill = ["--namespace", "shop", "exec", &pod, "--", "kill", "1"];
    desk.bed.kubectl(kill).output().unwrap();
    let loss = || {
        session
            .status()
            .map(|status| status["losses"][0].clone())
            .unwrap_or_default()
    };
    until_within(CONNECTING, "the loss and its end are known", || {
        loss()["end"]["is"] == "ended"
    })
    .unwrap_or_else(|why| panic!("{why}: {}", loss()));
    assert_eq!(loss()["pod"], pod.as_str());
    assert!(loss()["broken_connections"].as_u64().unwrap() >= 1, "{}", loss());
    until_within(CONNECTING, "another agent serves", || desk.page(PAGE).is_some()).unwrap();
    let text = desk.slipway(&["status"]).output().unwrap();
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("The agent ended ("), "{text}");
    session.disconnect();
}
