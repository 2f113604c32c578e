//! Desk: a laptop with a helper, and commands of its user.

use std::cell::RefCell;
use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use slipway_bed::{Bed, Laptop, LaptopKind, LaptopLock};

use crate::{Frozen, Running, helper, program};

/// A laptop with a helper, used by one test.
pub struct Desk<'a> {
    /// The bed of the laptop.
    pub bed: &'a Bed,
    /// The laptop itself.
    pub laptop: &'a Laptop,
    /// None on the bare laptop.
    helper: RefCell<Option<Running>>,
}

impl<'a> Desk<'a> {
    /// With a helper on the laptop, which nobody else uses; the bare one has none.
    pub(crate) fn new(bed: &'a Bed, laptop: &'a Laptop) -> Desk<'a> {
        Desk {
            bed,
            laptop,
            helper: RefCell::new((laptop.kind() != LaptopKind::Bare).then(|| helper::start(laptop))),
        }
    }
}

impl Desk<'_> {
    /// Returns a command of the ordinary user.
    pub fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = self.laptop.command(program, arguments);
        command
            .env("SLIPWAY_HELPER_SOCKET", helper::SOCKET)
            .stdin(Stdio::null());
        command
    }

    /// Runs a command, and returns its output.
    pub fn output(&self, program: &str, arguments: &[&str]) -> Output {
        self.command(program, arguments).output().unwrap()
    }

    /// Runs a command, which must succeed, and returns its text.
    pub fn text(&self, program: &str, arguments: &[&str]) -> String {
        printed(program, arguments, self.output(program, arguments))
    }

    /// Runs a command as root, and returns its output.
    pub fn output_as_root(&self, program: &str, arguments: &[&str]) -> Output {
        self.laptop
            .command_as_root(program, arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// Runs a command as root, which must succeed, and returns its text.
    pub fn as_root(&self, program: &str, arguments: &[&str]) -> String {
        printed(program, arguments, self.output_as_root(program, arguments))
    }

    /// Returns the command `slipway` with these arguments.
    pub fn slipway(&self, arguments: &[&str]) -> Command {
        self.command(program("slipway").to_str().unwrap(), arguments)
    }

    /// Locks all other laptops, for a test that affects the whole bed. Only for tests on the plain laptop, so that no two
    /// wait for each other.
    pub fn alone(&self) -> Vec<LaptopLock> {
        assert_eq!(self.laptop.kind(), LaptopKind::Plain);
        let others = self.bed.laptops().iter();
        others
            .filter(|laptop| laptop.kind() != self.laptop.kind())
            .map(|laptop| laptop.lock().unwrap())
            .collect()
    }

    /// Fetches a page; `None` if there is none within two seconds.
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

    /// Kills the helper with SIGKILL, and starts another one after `pause`.
    pub fn replace_helper(&self, pause: Duration) {
        self.kill_helper();
        std::thread::sleep(pause);
        self.start_helper();
    }

    /// Kills the helper with SIGKILL.
    pub fn kill_helper(&self) {
        self.helper.borrow_mut().as_mut().expect("a helper").kill();
    }

    /// Starts a helper after the last one has ended.
    pub fn start_helper(&self) {
        *self.helper.borrow_mut() = Some(helper::start(self.laptop));
    }

    /// Stops the helper with SIGSTOP, so that it does not answer, until this is dropped.
    pub fn freeze_helper(&self) -> Frozen {
        Frozen::new(self.helper.borrow().as_ref().expect("a helper").pid())
    }

    /// Runs `kubectl` as the cluster's administrator, and returns its text.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        let output = self.bed.kubectl(arguments).stdin(Stdio::null()).output().unwrap();
        printed("kubectl", arguments, output)
    }

    /// Applies a manifest as the cluster's administrator.
    pub fn apply(&self, manifest: &str) {
        let mut kubectl = self.bed.kubectl(["apply", "--server-side", "--filename=-"]);
        let mut child = kubectl
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(manifest.as_bytes())
            .unwrap();
        assert!(child.wait().unwrap().success(), "{manifest}");
    }

    /// Returns an address of a cluster object.
    pub fn address(&self, what: &str, path: &str) -> String {
        let path = format!("--output=jsonpath={path}");
        let address = self.kubectl(&["--namespace", "shop", "get", what, &path]);
        assert!(!address.is_empty(), "{what} has no address");
        address
    }
}

/// Returns the text of a program that succeeded.
fn printed(program: &str, arguments: &[&str], output: Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}\n{said}",
        output.status
    );
    String::from_utf8(output.stdout).unwrap()
}
