//! Background processes of a test.

use std::cell::RefCell;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::until;

/// A background process, ended when this is dropped.
pub struct Running {
    child: Child,
    lines: Receiver<String>,
    said: RefCell<String>,
}

impl Running {
    /// Starts a command and keeps the lines of both outputs.
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
                    // An error means that the test has ended.
                    let _ = sender.send(line);
                }
            });
        }
        Running {
            child,
            lines,
            said: RefCell::default(),
        }
    }

    /// Its process id.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    /// Returns all lines so far.
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

    /// Waits for its end, which must come soon, and returns its exit code; `None` if a signal ended it.
    pub fn wait(&mut self) -> Option<i32> {
        until("the process ends", || self.child.try_wait().unwrap().is_some())
            .unwrap_or_else(|why| panic!("{why}: {}", self.said()));
        self.child.wait().unwrap().code()
    }

    /// Sends SIGKILL.
    pub fn kill(&mut self) {
        // An error means that it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.is_alive() {
            let _ = kill(self.pid(), Signal::SIGTERM);
            let _ = until("the process ends", || !self.is_alive());
        }
        self.kill();
    }
}

/// A process that is stopped with SIGSTOP, and continues when this is dropped.
pub struct Frozen(Pid);

impl Frozen {
    /// Stops a process.
    pub(crate) fn new(pid: Pid) -> Frozen {
        kill(pid, Signal::SIGSTOP).unwrap();
        Frozen(pid)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        let _ = kill(self.0, Signal::SIGCONT);
    }
}
