//! Processes of a bed: start, wait and kill.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// A process, identified by its id and start time, so that a later one with the same id differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessId {
    pub(crate) pid: i32,
    /// Clock ticks since boot (field 22 of proc_pid_stat(5)).
    began: u64,
}

impl ProcessId {
    pub(crate) fn of(pid: i32) -> Result<Self> {
        let began = began(pid).with_context(|| format!("process {pid} has ended"))?;
        Ok(Self { pid, began })
    }

    /// Whether it runs; a zombie does not.
    pub(crate) fn runs(self) -> bool {
        began(self.pid) == Some(self.began)
    }

    /// Finds the program `name` that this process started, directly or through processes that entered namespaces for it.
    pub(crate) fn innermost(self, name: &str) -> Result<Self> {
        let mut innermost = self;
        while let Some(child) = first_child(innermost.pid) {
            innermost = Self::of(child)?;
        }
        let line = fs::read(format!("/proc/{}/cmdline", innermost.pid)).unwrap_or_default();
        ensure!(
            // For a multi-call program, its first argument.
            line.split(|byte| *byte == 0).nth(1) == Some(name.as_bytes()),
            "{name} is not running behind process {}",
            self.pid
        );
        Ok(innermost)
    }

    /// Sends SIGKILL.
    pub(crate) fn kill(self) -> Result<()> {
        ensure!(self.runs(), "process {} has ended", self.pid);
        kill(Pid::from_raw(self.pid), Signal::SIGKILL).with_context(|| format!("kill {}", self.pid))
    }
}

fn first_child(pid: i32) -> Option<i32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

/// Returns the start time of a running process; `None` if it has ended or is a zombie.
fn began(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is a name in parentheses, which may contain spaces and parentheses.
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// Runs a program, which must succeed. An error has its standard error.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let output = output(command)?;
    if !output.status.success() {
        bail!(
            "{}: {}\n{}",
            shown(command),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim_end()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a program, and returns its output, also if it failed.
pub(crate) fn output(command: &mut Command) -> Result<Output> {
    command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("start {}", shown(command)))
}

fn shown(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}

/// A program in the background, with its log.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Daemon {
    pub(crate) name: String,
    pub(crate) process: ProcessId,
    pub(crate) log: PathBuf,
}

/// Number of log lines in an error.
const LOG_TAIL_LINES: usize = 15;
const LOG_TAIL_BYTES: u64 = 16 << 10;

impl Daemon {
    /// Starts `command` in a new session, with its output in `logs/NAME.log`. It survives the caller and does not get its
    /// Ctrl-C.
    pub(crate) fn start(name: &str, logs: &Path, command: &mut Command) -> Result<Self> {
        let log = logs.join(format!("{name}.log"));
        let file = File::create(&log).with_context(|| format!("create {}", log.display()))?;
        let errors = file.try_clone()?;
        let mut child = command
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .with_context(|| format!("start {}", shown(command)))?;
        let process = ProcessId::of(i32::try_from(child.id())?);
        // This thread reaps it while the caller runs; otherwise init does.
        thread::spawn(move || child.wait());
        let process = process.with_context(|| format!("{name} ended at once\n{}", tail(&log)))?;
        Ok(Self {
            name: name.to_owned(),
            process,
            log,
        })
    }

    /// Waits until `ready` holds. Fails with the last lines of the log as soon as the program ends.
    pub(crate) fn wait_until(&self, what: &str, limit: Duration, ready: impl FnMut() -> bool) -> Result<()> {
        let mut ready = ready;
        let deadline = Instant::now() + limit;
        while !ready() {
            ensure!(
                self.process.runs(),
                "{} ended before it was {what}\n{}",
                self.name,
                self.tail()
            );
            ensure!(
                Instant::now() < deadline,
                "{} was not {what} within {} s\n{}",
                self.name,
                limit.as_secs(),
                self.tail()
            );
            thread::sleep(POLL);
        }
        Ok(())
    }

    /// Returns the path and the last lines of its log.
    pub(crate) fn tail(&self) -> String {
        tail(&self.log)
    }
}

/// Interval at which a condition is polled.
pub(crate) const POLL: Duration = Duration::from_millis(50);

fn tail(log: &Path) -> String {
    let text = (|| -> std::io::Result<String> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    })()
    .unwrap_or_default();
    let lines: Vec<_> = text.lines().collect();
    let last = lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n    ");
    format!("{}:\n    {last}", log.display())
}

/// Identity of a namespace: its inode in nsfs, which is unique among existing namespaces.
pub(crate) fn namespace(file: impl AsRef<Path>) -> Option<u64> {
    fs::metadata(file).ok().map(|metadata| metadata.ino())
}

/// Marks of a process that is part of a bed, in whatever namespace it is.
pub(crate) struct Belonging {
    /// Network namespaces, by their [`namespace`] identity.
    pub(crate) networks: BTreeSet<u64>,
    /// Part of a mount's options. A nested mount namespace keeps the mounts.
    pub(crate) mount: String,
}

/// Kills every process with these marks, and waits until all have ended. No list of processes is used, because a crash
/// can leave it incomplete.
pub(crate) fn kill_all(belonging: &Belonging) -> Result<()> {
    let deadline = Instant::now() + KILL_LIMIT;
    loop {
        let found = find(belonging)?;
        if found.is_empty() {
            return Ok(());
        }
        for pid in &found {
            match kill(Pid::from_raw(*pid), Signal::SIGKILL) {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(error) => return Err(error).with_context(|| format!("kill {pid}")),
            }
        }
        ensure!(Instant::now() < deadline, "processes {found:?} do not end");
        thread::sleep(POLL);
    }
}

/// How long the kernel may take to end a few dozen containers.
const KILL_LIMIT: Duration = Duration::from_secs(30);

fn find(belonging: &Belonging) -> Result<Vec<i32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").context("read /proc")? {
        let entry = entry?;
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let process = entry.path();
        let belongs = namespace(process.join("ns/net")).is_some_and(|inode| belonging.networks.contains(&inode))
            // A process that has ended has no mounts.
            || fs::read_to_string(process.join("mountinfo")).is_ok_and(|mounts| mounts.contains(&belonging.mount));
        if belongs && began(pid).is_some() {
            found.push(pid);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_running_until_it_is_killed() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let process = ProcessId::of(i32::try_from(child.id()).unwrap()).unwrap();
        assert!(process.runs());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!process.runs());
    }

    #[test]
    fn a_later_process_with_the_same_id_is_another_one() {
        let own = ProcessId::of(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(own.runs());
        assert!(
            !ProcessId {
                began: own.began + 1,
                ..own
            }
            .runs()
        );
    }

    #[test]
    fn a_daemon_that_ends_is_an_error_with_its_last_lines() {
        let logs = std::env::temp_dir();
        let name = format!("slipway-bed-test-{}", std::process::id());
        let daemon = Daemon::start(
            &name,
            &logs,
            Command::new("sh").args(["-c", "echo no port is free; sleep 0.1"]),
        )
        .unwrap();
        let error = daemon
            .wait_until("ready", Duration::from_secs(20), || false)
            .unwrap_err();
        fs::remove_file(&daemon.log).unwrap();
        assert!(error.to_string().contains("ended before it was ready"), "{error}");
        assert!(error.to_string().contains("no port is free"), "{error}");
    }
}
