//! What a user sees, on a real Kubernetes: a laptop of the test bed with Slipway's programs on it.
//!
//! Every test takes a laptop for itself, starts a helper there, and steers Slipway by its command line alone. What a
//! session should make reachable is first shown not to be, and again when it is over.
//!
//! `SLIPWAY_BED` names another bed than the default one. Without root the tests say that they were skipped.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::panic,
    reason = "what a test cannot have ends it"
)]

mod conversation;
pub mod lookups;
mod network;
mod tray;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

pub use conversation::Conversation;
pub use network::{Gone, Moved};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
pub use slipway_bed::{Bed, BedName, LaptopKind, Silent};
use slipway_bed::{Laptop, LaptopLock};
pub use tray::Tray;

/// The test of the name, once on each kind of laptop.
#[macro_export]
macro_rules! on_each_laptop {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            #[test]
            fn plain() {
                let _skipped = $crate::with_laptop($crate::LaptopKind::Plain, super::$name);
            }

            #[test]
            fn resolved() {
                let _skipped = $crate::with_laptop($crate::LaptopKind::Resolved, super::$name);
            }

            #[test]
            fn firewall() {
                let _skipped = $crate::with_laptop($crate::LaptopKind::Firewall, super::$name);
            }
        }
    )+};
}

/// The test of the name, on the laptop with systemd-resolved.
#[macro_export]
macro_rules! on_the_resolved_laptop {
    ($($name:ident),+ $(,)?) => {
        mod resolved {
            $(#[test]
            fn $name() {
                $crate::with_laptop($crate::LaptopKind::Resolved, super::$name);
            })+
        }
    };
}

/// The test of the name, on the plain laptop.
#[macro_export]
macro_rules! on_the_plain_laptop {
    ($($name:ident),+ $(,)?) => {
        mod plain {
            $(#[test]
            fn $name() {
                let _skipped = $crate::with_laptop($crate::LaptopKind::Plain, super::$name);
            })+
        }
    };
}

/// How long anything may take that should take a moment.
pub const MOMENT: Duration = Duration::from_secs(10);

/// How long connecting may take on a machine that does other things too.
pub const CONNECTING: Duration = Duration::from_secs(60);

/// Where the helper of a test listens.
const HELPER_SOCKET: &str = "/tmp/slipway-test-helper.sock";

/// Runs a test with a laptop of its own and a helper on it, and shows that nothing of it is left. Gives back what the
/// test does; `None` where there is no bed.
pub fn with_laptop<T>(kind: LaptopKind, test: fn(&Desk<'_>) -> T) -> Option<T> {
    let Some(bed) = bed() else {
        println!("skipped: a bed needs root");
        return None;
    };
    Some(with_laptop_of(bed, kind, test))
}

/// The same with a laptop of another bed than that of all tests.
pub fn with_laptop_of<T>(bed: &Bed, kind: LaptopKind, test: fn(&Desk<'_>) -> T) -> T {
    let laptop = bed.laptop(kind).unwrap();
    let lock = laptop.lock().unwrap();
    let before = Traces::of(laptop);
    let _rule = (kind == LaptopKind::Resolved).then(|| PolkitRule::install(laptop));
    let desk = Desk {
        bed,
        laptop,
        helper: std::cell::RefCell::new(start_helper(laptop)),
        _lock: lock,
    };
    let outcome = test(&desk);
    drop(desk);
    until("nothing is left on the laptop", || Traces::of(laptop) == before)
        .unwrap_or_else(|why| panic!("{why}:\n{}", Traces::of(laptop).beside(&before)));
    outcome
}

/// The bed of the tests, if there can be one.
pub fn bed() -> Option<&'static Bed> {
    static BED: OnceLock<Option<Bed>> = OnceLock::new();
    BED.get_or_init(|| {
        if !nix::unistd::Uid::effective().is_root() {
            return None;
        }
        Some(Bed::up(&BedName::of_tests().unwrap(), &mut Silent).unwrap())
    })
    .as_ref()
}

/// A built program of this workspace: in the folder that tests themselves are built into.
pub fn program(name: &str) -> PathBuf {
    let here = std::env::current_exe().unwrap();
    let found = here
        .ancestors()
        .map(|folder| folder.join(name))
        .find(|path| path.is_file());
    found.unwrap_or_else(|| {
        panic!("{name} is not built: run `cargo xtask test`, or `cargo build --workspace`")
    })
}

/// A laptop, as a person sits before it.
pub struct Desk<'a> {
    /// The bed that it belongs to.
    pub bed: &'a Bed,
    /// The laptop itself.
    pub laptop: &'a Laptop,
    helper: std::cell::RefCell<Running>,
    _lock: LaptopLock,
}

impl Desk<'_> {
    /// A command of the person's.
    pub fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = self.laptop.command(program, arguments);
        command
            .env("SLIPWAY_HELPER_SOCKET", HELPER_SOCKET)
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub fn output(&self, program: &str, arguments: &[&str]) -> Output {
        self.command(program, arguments).output().unwrap()
    }

    /// What a command prints; it must succeed.
    pub fn text(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.output(program, arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.success(),
            "{program} {arguments:?}: {}\n{said}",
            output.status
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// `slipway` with these arguments.
    pub fn slipway(&self, arguments: &[&str]) -> Command {
        self.command(program("slipway").to_str().unwrap(), arguments)
    }

    /// Connects and returns when programs reach the cluster. The agent does not wait long, unless the arguments say so.
    pub fn connect(&self, arguments: &[&str]) -> Session<'_> {
        let session = self.start_connecting(arguments);
        let connected = until_within(CONNECTING, "the session is connected", || {
            assert!(
                session.running.is_alive(),
                "the session ended: {}",
                session.running.said()
            );
            session.state().as_deref() == Some("connected")
        });
        connected.unwrap_or_else(|why| panic!("{why}: {}", session.running.said()));
        session
    }

    /// Begins to connect, as [`Desk::connect`] does, and returns at once.
    pub fn start_connecting(&self, arguments: &[&str]) -> Session<'_> {
        let grace: &[&str] = if arguments.contains(&"--agent-grace") {
            &[]
        } else {
            &["--agent-grace", "5"]
        };
        self.start_session(&[&["connect"], grace, arguments].concat())
    }

    /// Starts `slipway` with these arguments, which make it a session.
    pub fn start_session(&self, arguments: &[&str]) -> Session<'_> {
        let running = Running::start(self.slipway(arguments));
        Session { desk: self, running }
    }

    /// Watches the state of the session from now on, however short it is in one.
    pub fn states(&self) -> States {
        States(Running::start(self.slipway(&["status", "--watch", "--json"])))
    }

    /// Waits until nobody uses another laptop, and keeps it so: for what everyone on the bed feels. Only for tests on the
    /// plain laptop, so that no two wait for each other.
    pub fn alone(&self) -> Vec<LaptopLock> {
        assert_eq!(self.laptop.kind(), LaptopKind::Plain);
        let others = self.bed.laptops().iter();
        others
            .filter(|laptop| laptop.kind() != self.laptop.kind())
            .map(|laptop| laptop.lock().unwrap())
            .collect()
    }

    /// The sessions, as `slipway status --json` tells them.
    pub fn status(&self) -> Vec<serde_json::Value> {
        let output = self.slipway(&["status", "--json"]).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
    }

    /// The page at a URL, or `None` where there is none within two seconds.
    pub fn page(&self, url: &str) -> Option<String> {
        let output = self.output(
            "curl",
            &["--silent", "--fail", "--max-time", "2", "--noproxy", "*", url],
        );
        output
            .status
            .success()
            .then(|| String::from_utf8(output.stdout).unwrap())
    }

    /// Whether getaddrinfo finds a name.
    pub fn resolves(&self, name: &str) -> bool {
        self.output("timeout", &["8", "getent", "ahosts", name])
            .status
            .success()
    }

    /// Ends the helper as the kernel would, and starts another one after `pause`.
    pub fn replace_helper(&self, pause: Duration) {
        self.helper.borrow_mut().kill();
        std::thread::sleep(pause);
        *self.helper.borrow_mut() = start_helper(self.laptop);
    }

    /// Ends the helper as the kernel would.
    pub fn kill_helper(&self) {
        self.helper.borrow_mut().kill();
    }

    /// Starts a helper where there is none any more.
    pub fn start_helper(&self) {
        *self.helper.borrow_mut() = start_helper(self.laptop);
    }

    /// Stops the helper where it is: whoever asks it something is not answered, until this is dropped.
    pub fn freeze_helper(&self) -> Frozen {
        Frozen::new(self.helper.borrow().pid())
    }

    /// What `kubectl` prints, asked as the cluster's administrator.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        let output = self.bed.kubectl(arguments).stdin(Stdio::null()).output().unwrap();
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// Has the cluster hold what a manifest says, as its administrator.
    pub fn apply(&self, manifest: &str) {
        let mut kubectl = self.bed.kubectl(["apply", "--server-side", "--filename=-"]);
        let mut child = kubectl
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), manifest.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success(), "{manifest}");
    }

    /// An address of the cluster.
    pub fn address(&self, what: &str, path: &str) -> String {
        let path = format!("--output=jsonpath={path}");
        let address = self.kubectl(&["--namespace", "shop", "get", what, &path]);
        assert!(!address.is_empty(), "{what} has no address");
        address
    }
}

/// A running session.
pub struct Session<'a> {
    desk: &'a Desk<'a>,
    /// Its process.
    pub running: Running,
}

impl Session<'_> {
    /// Its state, as scripts see it.
    pub fn state(&self) -> Option<String> {
        self.status()?.get("state")?.as_str().map(str::to_owned)
    }

    /// What scripts see of it.
    pub fn status(&self) -> Option<serde_json::Value> {
        self.desk.status().into_iter().next()
    }

    /// Ends it as a person would, by Ctrl-C.
    pub fn disconnect(mut self) {
        self.running.signal(Signal::SIGINT);
        let code = self.running.wait();
        assert_eq!(
            code,
            Some(0),
            "a session ended by Ctrl-C succeeds: {}",
            self.running.said()
        );
    }

    /// Ends it as the kernel would.
    pub fn kill(mut self) {
        self.running.kill();
    }
}

/// The states that a session was in, in their order.
pub struct States(Running);

impl States {
    /// Up to now. Where there was no session it is empty.
    pub fn seen(&self) -> Vec<String> {
        let mut seen = Vec::new();
        for line in self.0.said().lines() {
            let sessions: serde_json::Value = serde_json::from_str(line).unwrap();
            let state = sessions[0]["state"].as_str().unwrap_or_default().to_owned();
            if seen.last() != Some(&state) {
                seen.push(state);
            }
        }
        seen
    }

    /// Waits until the last one is this.
    ///
    /// # Errors
    ///
    /// What was seen instead, when it did not come about within the limit.
    pub fn wait(&self, limit: Duration, state: &str) -> Result<(), String> {
        until_within(limit, &format!("the session is {state}"), || {
            self.seen().last().map(String::as_str) == Some(state)
        })
        .map_err(|why| format!("{why}: {:?}", self.seen()))
    }
}

/// A process that is stopped where it is, and goes on when this is dropped.
pub struct Frozen(Pid);

impl Frozen {
    fn new(pid: Pid) -> Frozen {
        kill(pid, Signal::SIGSTOP).unwrap();
        Frozen(pid)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        let _ended_meanwhile = kill(self.0, Signal::SIGCONT);
    }
}

/// A process of a test, ended with it.
pub struct Running {
    child: Child,
    lines: Receiver<String>,
    said: std::cell::RefCell<String>,
}

impl Running {
    /// Starts a command and keeps what it says on both outputs.
    pub fn start(mut command: Command) -> Running {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = mpsc::channel();
        let outputs: [Box<dyn std::io::Read + Send>; 2] = [
            Box::new(child.stdout.take().unwrap()),
            Box::new(child.stderr.take().unwrap()),
        ];
        for output in outputs {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    let _test_is_over = sender.send(line);
                }
            });
        }
        Running {
            child,
            lines,
            said: std::cell::RefCell::default(),
        }
    }

    /// Its process id.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    /// Everything that it said so far.
    pub fn said(&self) -> String {
        let mut said = self.said.borrow_mut();
        for line in self.lines.try_iter() {
            said.push_str(&line);
            said.push('\n');
        }
        said.clone()
    }

    /// Whether it runs.
    pub fn is_alive(&self) -> bool {
        // A zombie counts as dead; signal 0 would find it alive.
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap_or_default();
        stat.rsplit(") ")
            .next()
            .is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    /// Its exit code; `None` where a signal ended it. It must end within a moment.
    pub fn wait(&mut self) -> Option<i32> {
        until("the process ends", || self.child.try_wait().unwrap().is_some())
            .unwrap_or_else(|why| panic!("{why}: {}", self.said()));
        self.child.wait().unwrap().code()
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        let _already_dead = self.child.kill();
        let _reaped = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.is_alive() {
            let _already_dead = kill(self.pid(), Signal::SIGTERM);
            let _timed_out = until("the process ends", || !self.is_alive());
        }
        self.kill();
    }
}

fn start_helper(laptop: &Laptop) -> Running {
    let path = program("slipway-helper");
    let arguments = ["--socket", HELPER_SOCKET, "--allow-uid", "2000"];
    let helper = Running::start(laptop.command_as_helper(path.to_str().unwrap(), arguments));
    until("the helper listens", || {
        assert!(helper.is_alive(), "the helper ended: {}", helper.said());
        helper.said().contains("Ready")
    })
    .unwrap_or_else(|why| panic!("{why}: {}", helper.said()));
    helper
}

/// The package's rule for polkit, on a laptop for as long as this lives.
struct PolkitRule<'a>(&'a Laptop);

impl PolkitRule<'_> {
    const PLACE: &'static str = "/etc/polkit-1/rules.d/49-slipway-helper.rules";

    fn install(laptop: &Laptop) -> PolkitRule<'_> {
        let source = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../packaging/polkit/slipway-helper.rules"
        );
        laptop
            .write(
                "/tmp/slipway-helper.rules",
                &std::fs::read_to_string(source).unwrap(),
            )
            .unwrap();
        let rule = PolkitRule(laptop);
        let read = (0..5).any(|_| {
            // polkitd may look at a file before it is written, and merges events of one place that come soon after one
            // another: so the rule comes whole, and comes again where it was not seen.
            let copied = laptop
                .command_as_root("cp", ["/tmp/slipway-helper.rules", "/tmp/slipway-helper.copy"])
                .status();
            let moved = laptop
                .command_as_root("mv", ["/tmp/slipway-helper.copy", PolkitRule::PLACE])
                .status();
            assert!(copied.unwrap().success() && moved.unwrap().success());
            until_within(Duration::from_secs(4), "polkit reads the rule", || rule.holds()).is_ok()
        });
        assert!(read, "polkit does not read the rule");
        rule
    }

    /// Whether polkit lets the helper change a link. The loopback's setting is the same before and after.
    fn holds(&self) -> bool {
        let manager = [
            "org.freedesktop.resolve1",
            "/org/freedesktop/resolve1",
            "org.freedesktop.resolve1.Manager",
        ];
        let call = [&["call"], &manager[..], &["SetLinkDNSSEC", "is", "2", "no"]].concat();
        let output = self
            .0
            .command_as_helper("busctl", call)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        output.status.success()
    }
}

impl Drop for PolkitRule<'_> {
    fn drop(&mut self) {
        let _gone = self.0.command_as_root("rm", ["-f", PolkitRule::PLACE]).status();
        let _forgotten = until("polkit forgets the rule", || !self.holds());
    }
}

/// Everything on a laptop that a session may have changed.
#[derive(Debug, PartialEq, Eq)]
pub struct Traces(Vec<String>);

impl Traces {
    /// As they are now.
    pub fn of(laptop: &Laptop) -> Traces {
        let look = |program: &str, arguments: &[&str]| {
            let output = laptop
                .command_as_root(program, arguments)
                .stdin(Stdio::null())
                .output()
                .unwrap();
            format!(
                "{program} {arguments:?}:\n{}",
                String::from_utf8_lossy(&output.stdout)
            )
        };
        let mut traces = vec![
            look("ip", &["-brief", "link"]),
            look("ip", &["-brief", "address"]),
            look("ip", &["route", "show", "table", "all"]),
            look("ip", &["-6", "route", "show"]),
            look("ip", &["rule"]),
            look("nft", &["list", "ruleset"]),
            look("cat", &["/etc/resolv.conf"]),
        ];
        if laptop.kind() == LaptopKind::Resolved {
            traces.push(look("resolvectl", &["domain"]));
            traces.push(look("resolvectl", &["dns"]));
        }
        Traces(traces)
    }
}

impl Traces {
    /// What differs from what was before, in words for people.
    fn beside(&self, before: &Traces) -> String {
        let pairs = self.0.iter().zip(&before.0).filter(|(now, then)| now != then);
        pairs
            .map(|(now, then)| format!("--- before: {then}\n--- now: {now}\n"))
            .collect()
    }
}

/// Waits a moment for something.
///
/// # Errors
///
/// What was waited for, when it did not come about.
pub fn until(what: &str, met: impl FnMut() -> bool) -> Result<(), String> {
    until_within(MOMENT, what, met)
}

/// Waits so long for something.
///
/// # Errors
///
/// What was waited for, when it did not come about.
pub fn until_within(limit: Duration, what: &str, mut met: impl FnMut() -> bool) -> Result<(), String> {
    let deadline = Instant::now() + limit;
    loop {
        if met() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(format!("it did not happen within {limit:?} that {what}"));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A path as text.
pub fn path_text(path: &Path) -> &str {
    path.to_str().unwrap()
}
