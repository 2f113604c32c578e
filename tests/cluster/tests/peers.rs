//! Peers that vanish or are idle, and many connections at the same time.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]
#![expect(clippy::print_stdout, reason = "tests print figures")]

use std::process::Stdio;
use std::time::{Duration, Instant};

use slipway_cluster_tests::{
    CONNECTING, Desk, NodeRule, Running, on_the_plain_laptop, on_the_resolved_laptop, problems, until,
    until_within,
};

// These two wait for a minute, so each has a laptop.
on_the_resolved_laptop!(a_vanished_peer_is_told_within_a_minute);

on_the_plain_laptop!(
    an_idle_connection_is_not_forgotten_on_the_way,
    connections_beyond_the_limit_are_refused_and_reported,
    a_command_keeps_its_limit_of_open_files,
);

const POD: &str = "{.items[?(@.metadata.labels.app==\"echo\")].status.podIP}";

/// A pod whose network is used for the control: the same without Slipway.
const OTHER_POD: &str = "{.items[?(@.metadata.labels.app==\"web\")].status.podIP}";

/// Opens a connection, and uses it again after some seconds. It asks for keep-alive every 5 s, or not.
const IDLE: &str = "\
import socket, sys, time
address, port, seconds, keeps = sys.argv[1:]
s = socket.create_connection((address, int(port)), 10); s.settimeout(5)
if keeps == 'keeps':
    s.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in ((socket.TCP_KEEPIDLE, 5), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 3)):
        s.setsockopt(socket.IPPROTO_TCP, option, value)
s.sendall(b'x'); assert s.recv(1) == b'x'
print('open', flush=True)
time.sleep(int(seconds))
try: s.sendall(b'y')
except OSError as e: print('told', type(e).__name__, flush=True); sys.exit()
try: print('answered', s.recv(1).decode(), flush=True)
except OSError as e: print('silent', type(e).__name__, flush=True)
";

/// Echoes on any port. Unlike servers in Go, it asks for no keep-alive.
const SERVER: &str = "\
import socket, threading
def echo(s):
    while data := s.recv(100): s.sendall(data)
listener = socket.create_server(('', 0))
print('open', listener.getsockname()[1], flush=True)
while True: threading.Thread(target=echo, args=(listener.accept()[0],), daemon=True).start()
";

/// Starts a program of Python in the network of a pod, and returns when it is open. It ends after 90 s.
fn in_pod(desk: &Desk<'_>, pod: &str, program: &str, arguments: &[&str]) -> Running {
    let enter = "for net in /run/netns/*; do \
                 nsenter --net=$net ip -4 -oneline address | grep --quiet --fixed-strings \" $0/\" || continue; \
                 exec timeout 90 nsenter --net=$net python3 -c \"$@\"; done; echo no such pod";
    let script = [&["-c", enter, pod, program], arguments].concat();
    let program = Running::start(desk.bed.command_on_node("sh", script));
    until("a program in a pod's network is open", || {
        program.said().contains("open")
    })
    .unwrap_or_else(|why| {
        panic!("{why}: {}", program.said());
    });
    program
}

/// Says "open" once a connection carries bytes, then the error that ends it. It sends a byte each second, or nothing.
const WAITS: &str = "\
import socket, sys, time
s = socket.create_connection((sys.argv[1], 7000), 10); s.settimeout(10)
s.sendall(b'x'); assert s.recv(1) == b'x'
print('open', flush=True)
s.settimeout(1 if sys.argv[2] == 'sends' else None)
try:
    while True:
        try: assert s.recv(1)
        except socket.timeout: pass
        time.sleep(1)
        s.sendall(b'x')
except OSError as e: print(type(e).__name__, flush=True)
";

fn waits(desk: &Desk<'_>, address: &str, what: &str) -> Running {
    let program = Running::start(desk.command("python3", &["-c", WAITS, address, what]));
    until("a connection is open", || program.said().contains("open")).unwrap_or_else(|why| {
        panic!("{why}: {}", program.said());
    });
    program
}

fn a_vanished_peer_is_told_within_a_minute(desk: &Desk<'_>) {
    let echo = desk.address("pods", POD);
    let other = other_pod(desk);
    let session = desk.connect(&[]);
    let agent = session.agent_address();
    let programs = ["sends", "waits"].map(|what| waits(desk, &echo, what));
    let control = in_pod(desk, &other, IDLE, &[&echo, "7000", "30", "keeps"]);
    let gone = NodeRule::on(
        desk,
        "vanished",
        "prerouting priority -300",
        &format!("ip saddr {{ {agent}, {other} }} ip daddr {echo} drop"),
    );
    let since = Instant::now();
    for program in &programs {
        until_within(Duration::from_secs(70), "the program is told", || {
            program.said().contains("ConnectionResetError")
        })
        .unwrap_or_else(|why| panic!("{why}: {}", program.said()));
        let told = since.elapsed();
        println!("a vanished peer: told after {told:?}");
        assert!(told <= Duration::from_secs(60), "{told:?}");
    }
    until_within(
        CONNECTING,
        "a program in a pod is told by its own keep-alive",
        || control.said().contains("told TimeoutError"),
    )
    .unwrap_or_else(|why| panic!("{why}: {}", control.said()));
    drop(gone);
    let again = waits(desk, &echo, "waits");
    drop(again);
    session.disconnect();
}

fn other_pod(desk: &Desk<'_>) -> String {
    let addresses = desk.address("pods", OTHER_POD);
    addresses.split_whitespace().next().unwrap().to_owned()
}

/// Settings of the node's kernel, restored when this is dropped.
struct NodeSettings<'a> {
    desk: &'a Desk<'a>,
    before: Vec<String>,
}

impl<'a> NodeSettings<'a> {
    fn begin(desk: &'a Desk<'a>, settings: &[(&str, &str)]) -> NodeSettings<'a> {
        let mut changed = NodeSettings {
            desk,
            before: Vec::new(),
        };
        for (key, value) in settings {
            let before = desk.bed.command_on_node("sysctl", ["-n", *key]).output().unwrap();
            assert!(before.status.success(), "{before:?}");
            let before = String::from_utf8(before.stdout).unwrap();
            changed.before.push(format!("{key}={}", before.trim()));
            changed.set(&format!("{key}={value}"));
        }
        changed
    }

    fn set(&self, setting: &str) {
        let set = self.desk.bed.command_on_node("sysctl", ["-qw", setting]).output();
        assert!(set.unwrap().status.success(), "{setting}");
    }
}

impl Drop for NodeSettings<'_> {
    fn drop(&mut self) {
        for setting in &self.before {
            self.set(setting);
        }
    }
}

/// A firewall on the way forgets connections that are idle for 20 s, and drops the packets of those.
fn an_idle_connection_is_not_forgotten_on_the_way(desk: &Desk<'_>) {
    let echo = desk.address("pods", POD);
    let other = other_pod(desk);
    let session = desk.connect(&[]);
    let agent = session.agent_address();
    let _settings = NodeSettings::begin(
        desk,
        &[
            ("net.netfilter.nf_conntrack_tcp_timeout_established", "20"),
            ("net.netfilter.nf_conntrack_tcp_loose", "0"),
        ],
    );
    let _firewall = NodeRule::on(
        desk,
        "forgets",
        "forward priority 0",
        &format!("ip saddr {{ {agent}, {other} }} ct state invalid drop"),
    );
    let server = in_pod(desk, &echo, SERVER, &[]);
    let said = server.said();
    let port = said.trim().strip_prefix("open ").unwrap();
    let idle = |what| [echo.as_str(), port, "40", what];
    let [keeps, forgets] = ["keeps", "forgets"].map(|what| in_pod(desk, &other, IDLE, &idle(what)));
    let said = desk.text("python3", &[&["-c", IDLE][..], &idle("forgets")].concat());
    assert!(
        said.contains("answered y"),
        "without keep-alive of its own: {said}"
    );
    for (control, end) in [(keeps, "answered y"), (forgets, "silent TimeoutError")] {
        until(end, || control.said().contains(end)).unwrap_or_else(|why| {
            panic!("in a pod: {why}: {}", control.said());
        });
    }
    session.disconnect();
}

/// Opens connections until one fails, says how many are open and why the last one is not, and keeps them.
const MANY: &str = "\
import resource, socket, sys
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 20000), hard))
held, error = [], None
while len(held) < int(sys.argv[2]) and not error:
    try:
        s = socket.create_connection((sys.argv[1], 7000), 8); s.settimeout(8)
        s.sendall(b'x'); assert s.recv(1) == b'x'
        held.append(s)
    except OSError as e: error = type(e).__name__
held[0].sendall(b'y'); assert held[0].recv(1) == b'y'
print('held', len(held), error, flush=True)
sys.stdin.read()
";

/// Returns the program that holds the connections, their number, and why there are no more.
fn many(desk: &Desk<'_>, address: &str, count: usize) -> (Running, usize, String) {
    let mut command = desk.command("python3", &["-c", MANY, address, &count.to_string()]);
    // Its end is the program's.
    command.stdin(Stdio::piped());
    let program = Running::start(command);
    let held = || {
        program
            .said()
            .lines()
            .find_map(|line| line.strip_prefix("held ").map(str::to_owned))
    };
    until_within(CONNECTING, "connections are open", || held().is_some())
        .unwrap_or_else(|why| panic!("{why}: {}", program.said()));
    let held = held().unwrap();
    let (number, error) = held.split_once(' ').unwrap();
    (program, number.parse().unwrap(), error.to_owned())
}

fn connections_beyond_the_limit_are_refused_and_reported(desk: &Desk<'_>) {
    let echo = desk.address("pods", POD);
    let session = desk.connect_with_limit("-Sn 1024", &[]);
    let (program, held, error) = many(desk, &echo, 1300);
    assert_eq!((held, &*error), (1300, "None"), "the soft limit is raised");
    assert_eq!(problems(&session.status().unwrap()), [""; 0]);
    drop(program);
    session.disconnect();

    let session = desk.connect_with_limit("-n 1024", &[]);
    let (program, held, error) = many(desk, &echo, 1300);
    println!("with 1,024 open files: {held} connections");
    assert!((700..=768).contains(&held), "{held}");
    assert_eq!(error, "ConnectionRefusedError");
    let is_full = || problems(&session.status().unwrap()).contains(&"session-full");
    until("the status says so", is_full).unwrap();
    drop(program);
    until("the problem is withdrawn", || !is_full()).unwrap();
    let (_program, held, _) = many(desk, &echo, 10);
    assert_eq!(held, 10, "there is room again");
    session.disconnect();
}

fn a_command_keeps_its_limit_of_open_files(desk: &Desk<'_>) {
    let run = ["run", "--", "sh", "-c", "ulimit -Sn; ulimit -Hn"];
    let output = desk.limited("-Sn 512 && ulimit -Hn 4096", &run).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let limits = String::from_utf8(output.stdout).unwrap();
    assert_eq!(limits.split_whitespace().collect::<Vec<_>>(), ["512", "4096"]);
}
