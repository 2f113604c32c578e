//! Programs that the bed runs, and the ends of everything that runs in a bed.

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

/// A process, told apart from a later one with the same number by when it began.
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

    /// Whether it still runs: neither gone nor waiting to be reaped.
    pub(crate) fn runs(self) -> bool {
        began(self.pid) == Some(self.began)
    }

    /// The program called `name` that this process started, perhaps by way of others that entered namespaces for it
    /// or keep it running.
    pub(crate) fn innermost(self, name: &str) -> Result<Self> {
        let mut innermost = self;
        while let Some(child) = first_child(innermost.pid) {
            innermost = Self::of(child)?;
        }
        let line = fs::read(format!("/proc/{}/cmdline", innermost.pid)).unwrap_or_default();
        ensure!(
            // The first argument of a program that is many in one.
            line.split(|byte| *byte == 0).nth(1) == Some(name.as_bytes()),
            "{name} is not running behind process {}",
            self.pid
        );
        Ok(innermost)
    }

    /// SIGKILL.
    pub(crate) fn kill(self) -> Result<()> {
        ensure!(self.runs(), "process {} has ended", self.pid);
        kill(Pid::from_raw(self.pid), Signal::SIGKILL).with_context(|| format!("kill {}", self.pid))
    }
}

fn first_child(pid: i32) -> Option<i32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok()
}

/// When a living process began; `None` if it is dead, a zombie included.
fn began(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is a name in brackets, which may hold spaces and brackets.
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// Runs a program to its end. An error holds what it wrote to standard error.
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

/// Runs a program to its end, however that was.
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

/// A program that goes on running, its log and what is known of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Daemon {
    pub(crate) name: String,
    pub(crate) process: ProcessId,
    pub(crate) log: PathBuf,
}

/// How much of a log an error shows.
const LOG_TAIL_LINES: usize = 15;
const LOG_TAIL_BYTES: u64 = 16 << 10;

impl Daemon {
    /// Starts `command` with its output in `logs/NAME.log`, out of the caller's session: it outlives the
    /// caller and does not get the caller's Ctrl-C.
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
        // Reaped here if it ends while the caller runs; by init otherwise.
        thread::spawn(move || child.wait());
        let process = process.with_context(|| format!("{name} ended at once\n{}", tail(&log)))?;
        Ok(Self {
            name: name.to_owned(),
            process,
            log,
        })
    }

    /// Waits until `ready` holds. Fails as soon as the program has ended, with the last lines of its log.
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

    /// The last lines of its log, under its path.
    pub(crate) fn tail(&self) -> String {
        tail(&self.log)
    }
}

/// How often a condition is looked at that cannot wake us.
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

/// The identity of a namespace file: that of nsfs inodes, which no two living namespaces share.
pub(crate) fn namespace(file: impl AsRef<Path>) -> Option<u64> {
    fs::metadata(file).ok().map(|metadata| metadata.ino())
}

/// What shows that a process is part of a bed, wherever it has moved since.
pub(crate) struct Belonging {
    /// Network namespaces, as [`namespace`] tells them apart.
    pub(crate) networks: BTreeSet<u64>,
    /// Part of a mount's options. A mount namespace made inside another keeps its mounts.
    pub(crate) mount: String,
}

/// Kills every process that belongs, and waits until they are gone. Found by where they are rather than by a list of
/// ours, which a crash could have left incomplete.
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

/// Some time for the kernel to tear down a few dozen containers.
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
            // A process that ends meanwhile has no mounts.
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
    fn a_later_process_with_the_same_number_is_another_one() {
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
    fn a_daemon_that_ends_is_an_error_with_its_last_words() {
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
