//! What goes wrong while connected, and what is left when everything was killed.
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test may panic")]
#![expect(clippy::print_stdout, reason = "a figure that is worth seeing")]

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use slipway_cluster_tests::{Desk, on_each_laptop, on_the_plain_laptop, until, until_within};

on_each_laptop!(a_killed_session_leaves_nothing, a_killed_helper_leaves_nothing);
on_the_plain_laptop!(
    an_open_connection_outlives_the_api_connection,
    an_open_connection_outlives_an_api_server_that_is_gone_for_twenty_seconds,
    a_helper_that_comes_back_keeps_open_connections,
    the_agent_goes_by_itself_when_nobody_comes_back,
    a_lost_agent_is_replaced,
    sigterm_ends_a_session_well,
);

const PAGE: &str = "http://web.shop.svc.cluster.local";

/// A connection to the echo service that stays open.
struct Conversation {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Conversation {
    fn begin(desk: &Desk<'_>) -> Conversation {
        let program = "import socket, sys\n\
                       s = socket.create_connection(('echo', 7000), 5); s.settimeout(40)\n\
                       for line in sys.stdin:\n\
                       \x20 s.sendall(line.encode()); got = b''\n\
                       \x20 while not got.endswith(b'\\n'):\n\
                       \x20   part = s.recv(4096)\n\
                       \x20   if not part: sys.exit('end of stream')\n\
                       \x20   got += part\n\
                       \x20 print(got.decode(), end='', flush=True)";
        let mut command = desk.command("python3", &["-c", program]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut conversation = Conversation { child, input, output };
        conversation.say("hello");
        conversation
    }

    fn say(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap();
        let mut answer = String::new();
        self.output.read_line(&mut answer).unwrap();
        assert_eq!(answer.trim_end(), line);
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn an_open_connection_outlives_the_api_connection(desk: &Desk<'_>) {
    let session = desk.connect(&[]);
    let mut conversation = Conversation::begin(desk);
    let node = desk.laptop.node().to_string();
    let cut = desk
        .laptop
        .command_as_root("ss", ["-K", "dst", &node, "dport", "=", "6443"])
        .output();
    assert!(
        String::from_utf8_lossy(&cut.unwrap().stdout).contains("6443"),
        "there was something to cut"
    );
    conversation.say("still here");
    until("the session is connected again", || {
        session.state().as_deref() == Some("connected")
    })
    .expect("again");
    session.disconnect();
}

fn an_open_connection_outlives_an_api_server_that_is_gone_for_twenty_seconds(desk: &Desk<'_>) {
    let session = desk.connect(&["--agent-grace", "60"]);
    let mut conversation = Conversation::begin(desk);
    let gone = Gone::begin(desk);
    let reconnecting = || session.state().as_deref() == Some("reconnecting");
    until_within(Duration::from_secs(15), "the session reconnects", reconnecting).expect("reconnecting");
    gone.last(Duration::from_secs(20));
    let back = Instant::now();
    until_within(Duration::from_secs(10), "the session is connected again", || {
        session.state().as_deref() == Some("connected")
    })
    .expect("connected");
    let took = back.elapsed();
    conversation.say("still here");
    println!("back {took:?} after the API server was");
    assert!(took < Duration::from_secs(4), "{took:?}");
    session.disconnect();
}

/// The API server's side drops everything that comes from the laptop, which therefore sees no error.
struct Gone<'a> {
    desk: &'a Desk<'a>,
    since: Instant,
}

impl Gone<'_> {
    fn begin<'a>(desk: &'a Desk<'a>) -> Gone<'a> {
        let from = desk.laptop.address();
        let rules = format!(
            "table ip gone {{ chain c {{ type filter hook prerouting priority -300; ip saddr {from} drop; }}; }}"
        );
        let added = desk
            .bed
            .command_on_node("nft", [rules.as_str()])
            .output()
            .unwrap();
        assert!(added.status.success(), "{added:?}");
        Gone {
            desk,
            since: Instant::now(),
        }
    }

    fn last(self, so_long: Duration) {
        std::thread::sleep(so_long.saturating_sub(self.since.elapsed()));
    }
}

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        let _removed = self
            .desk
            .bed
            .command_on_node("nft", ["delete table ip gone"])
            .output();
    }
}

fn a_helper_that_comes_back_keeps_open_connections(desk: &Desk<'_>) {
    let session = desk.connect(&[]);
    let mut conversation = Conversation::begin(desk);
    desk.replace_helper(Duration::from_secs(1));
    conversation.say("still here");
    assert!(desk.page(PAGE).is_some());
    session.disconnect();
}

fn a_killed_session_leaves_nothing(desk: &Desk<'_>) {
    let session = desk.connect(&[]);
    assert!(desk.page(PAGE).is_some());
    session.kill();
    until("the cluster is out of reach", || desk.page(PAGE).is_none()).expect("out of reach");
    assert!(desk.resolves("www.public.test"), "plain networking works at once");
}

fn a_killed_helper_leaves_nothing(desk: &Desk<'_>) {
    let session = desk.connect(&[]);
    desk.kill_helper();
    session.kill();
    until("the cluster is out of reach", || desk.page(PAGE).is_none()).expect("out of reach");
    assert!(desk.resolves("www.public.test"), "plain networking works at once");
}

fn sigterm_ends_a_session_well(desk: &Desk<'_>) {
    let mut session = desk.connect(&[]);
    session.running.signal(Signal::SIGTERM);
    assert_eq!(session.running.wait(), Some(0));
    assert_eq!(desk.page(PAGE), None);
    assert!(desk.status().is_empty());
}

fn the_agent_goes_by_itself_when_nobody_comes_back(desk: &Desk<'_>) {
    let session = desk.connect(&[]);
    let pod = agent_of(&session);
    session.kill();
    until_within(Duration::from_secs(30), "the agent's pod is gone", || {
        !pods(desk).contains(&pod)
    })
    .expect("gone");
    assert!(
        !desk
            .kubectl(&["--namespace", "shop", "get", "jobs", "--output=name"])
            .contains(&pod)
    );
}

fn a_lost_agent_is_replaced(desk: &Desk<'_>) {
    let session = desk.connect(&[]);
    let pod = agent_of(&session);
    desk.kubectl(&[
        "--namespace",
        "shop",
        "delete",
        "pod",
        &pod,
        "--grace-period=0",
        "--force",
    ]);
    until_within(Duration::from_secs(40), "another agent serves", || {
        session.state().as_deref() == Some("connected") && agent_of(&session) != pod
    })
    .expect("replaced");
    assert!(desk.page(PAGE).is_some());
    session.disconnect();
}

fn agent_of(session: &slipway_cluster_tests::Session<'_>) -> String {
    session.status().unwrap()["agent"]["pod"]
        .as_str()
        .unwrap()
        .to_owned()
}

fn pods(desk: &Desk<'_>) -> String {
    desk.kubectl(&["--namespace", "shop", "get", "pods", "--output=name"])
}
