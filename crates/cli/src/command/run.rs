//! `slipway run -- CMD`: a session for one command.
//!
//! The command starts once programs reach the cluster. It has this process's standard input, outputs and process
//! group, so that Ctrl-C and Ctrl-Z of a terminal reach it. `slipway run` ends with the command's exit code, or 128+N
//! if signal N ended the command. If connecting fails, the command never runs and the exit code is 255; if signal N
//! arrives before it runs, 128+N. If the session ends while the command runs, the command is ended too, because
//! without the cluster its names could reach other servers: it gets SIGTERM, after ten seconds SIGKILL, and the exit
//! code is 255.

use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use slipway_control_api::{Problem, SessionStatus, State};
use tokio::process::{Child, Command};

use crate::arguments::Session;
use crate::command::helper::offer;
use crate::failure::{Failure, OURS, Uncoded};
use crate::hosting::{Hosted, Signals, block_on, host, signalled};
use crate::narration::{Otherwise, Teller};
use crate::output;
use crate::progress::{BackgroundWriter, ProgressWriter};

/// How long the command may take to end after SIGTERM.
const FAREWELL: Duration = Duration::from_secs(10);
/// How long the command may take to end after SIGKILL. It takes longer only while the kernel blocks it.
const DEATH: Duration = Duration::from_secs(1);
/// Arguments of `slipway run`.
#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) session: Session,
    /// Write progress and failure to this file as JSON, one event per line; `/dev/fd/N` is the open descriptor N
    #[arg(long, value_name = "FILE")]
    json_status: Option<PathBuf>,
    /// The command, after `--`
    #[arg(last = true, required = true, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,
}

/// Outcome of the command.
#[derive(Debug)]
enum Guest {
    /// The session ended before the command started.
    NeverRan,
    /// A signal came before the command started.
    Interrupted(Signal),
    /// The system could not start the command.
    NotStarted(io::Error),
    /// The command ended.
    Ended(ExitStatus),
    /// The session ended before the command did.
    Outlived,
}

/// Connects, runs the command, disconnects.
pub(crate) fn run(arguments: Run) -> Result<ExitCode, Failure> {
    let Run {
        session,
        json_status,
        command,
    } = arguments;
    let progress = json_status.map(|path| ProgressWriter::on_file(&path));
    let mut listeners = Listeners {
        teller: None,
        progress: progress.transpose()?,
    };
    let outcome = connected(session, command, &mut listeners);
    // The caller also prints the failure, for the user of the command.
    if let (Err(failure), Some(progress)) = (&outcome, &mut listeners.progress) {
        // A caller that does not read the file has the exit code.
        let _ = progress.failed(failure.clone().into_problem());
    }
    outcome
}

/// Runs the command within a session.
fn connected(
    session: Session,
    command: Vec<OsString>,
    listeners: &mut Listeners,
) -> Result<ExitCode, Failure> {
    let verbose = session.verbose;
    let helper = session.helper_socket();
    let (options, method) = session.options(io::stdin().is_terminal())?;
    let name = command.first().cloned().unwrap_or_default();
    if !is_there(&name) {
        return Err(not_there(&name).into());
    }
    if listeners.progress.is_none() {
        offer(&options.profile, &helper)?;
    }
    // Before the session raises it.
    let files = OpenFiles::limit();
    let outcome = block_on(async {
        let signals = Signals::new()?;
        host(options, method, verbose, |hosted| {
            let otherwise = match listeners.progress {
                Some(_) => Otherwise::Silence,
                None => Otherwise::Notes,
            };
            listeners.teller = Some(Teller::new(verbose, otherwise));
            beside(hosted, signals, (command, files), listeners)
        })
        .await
    })?;
    // Clears the spinner before anything else is printed.
    listeners.teller = None;
    let (session, guest) = outcome?;
    match guest {
        Guest::Ended(status) => Ok(ExitCode::from(code(status))),
        Guest::NotStarted(error) => Err(error).uncoded(format!("Failed to start {}", name.display())),
        Guest::Interrupted(signal) if session.is_ok() => Ok(ExitCode::from(signalled(signal as i32))),
        Guest::Interrupted(_) | Guest::NeverRan | Guest::Outlived => match session {
            Ok(()) => Ok(ExitCode::from(OURS)),
            Err(problem) => Err(problem.into()),
        },
    }
}

/// Receivers of the session's progress: the terminal, and the file of `--json-status`.
struct Listeners {
    teller: Option<Teller>,
    progress: Option<ProgressWriter<BackgroundWriter>>,
}

impl Listeners {
    fn status(&mut self, status: &SessionStatus) {
        if let Some(teller) = &mut self.teller {
            teller.tell(status);
        }
        if let Some(progress) = &mut self.progress
            && let Err(error) = progress.status(status)
        {
            tracing::debug!(%error, "progress could not be written");
        }
    }
}

/// Whether the program exists, checked before a session is made for it.
fn is_there(program: &OsStr) -> bool {
    if program.as_bytes().contains(&b'/') {
        return Path::new(program).exists();
    }
    // Without PATH the system searches its default folders (execvp(3)).
    std::env::var_os("PATH").is_none_or(|path| {
        let mut folders = std::env::split_paths(&path);
        folders.any(|folder| folder.join(program).exists())
    })
}

fn not_there(program: &OsStr) -> Problem {
    let program = program.display();
    Problem::new(
        "command-not-found",
        format!("The program `{program}` was not found."),
        "Check the spelling. For shell syntax such as `a && b`, use `slipway run -- sh -c '...'`.",
    )
}

async fn beside(
    mut hosted: Hosted,
    mut signals: Signals,
    (command, files): (Vec<OsString>, OpenFiles),
    listeners: &mut Listeners,
) -> Guest {
    let mut interrupted = None;
    loop {
        let status = hosted.changes.borrow_and_update().clone();
        listeners.status(&status);
        match status.state {
            State::Connected if interrupted.is_none() => break,
            State::Ended => return interrupted.map_or(Guest::NeverRan, Guest::Interrupted),
            State::Connected
            | State::Preparing
            | State::Placing
            | State::Connecting
            | State::Reconnecting
            | State::Ending => {}
        }
        tokio::select! {
            changed = hosted.changes.changed() => if changed.is_err() { return Guest::NeverRan },
            signal = signals.next() => {
                interrupted = Some(signal);
                hosted.stop.cancel();
            }
        }
    }
    let guest = match start(&command, files) {
        Ok(mut child) => attend(&mut child, &mut hosted, &mut signals, listeners).await,
        Err(error) => Guest::NotStarted(error),
    };
    hosted.stop.cancel();
    // Progress is written until the session has ended.
    if let Some(progress) = &mut listeners.progress {
        let ended = hosted.changes.wait_for(|status| {
            // A reader that stopped reading does not delay the end.
            let _ = progress.status(status);
            status.state == State::Ended
        });
        // An error means that the publisher is gone, so the session has ended as well.
        drop(ended.await);
    }
    guest
}

/// Limit of this process's open files, which its children inherit.
#[derive(Clone, Copy, Debug)]
struct OpenFiles(Option<(u64, u64)>);

impl OpenFiles {
    fn limit() -> OpenFiles {
        OpenFiles(getrlimit(Resource::RLIMIT_NOFILE).ok())
    }

    fn restore(self) -> io::Result<()> {
        match self.0 {
            Some((soft, hard)) => Ok(setrlimit(Resource::RLIMIT_NOFILE, soft, hard)?),
            None => Ok(()),
        }
    }
}

/// Starts the command with its own limit of open files: a program that uses select(2) fails with the session's.
#[expect(
    unsafe_code,
    reason = "only between fork and exec can the limit be the command's and not the session's"
)]
fn start(command: &[OsString], files: OpenFiles) -> io::Result<Child> {
    let (program, arguments) = command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let mut command = Command::new(program);
    command.args(arguments);
    // SAFETY: the closure makes one system call. It takes no lock and allocates nothing.
    unsafe { command.pre_exec(move || files.restore()) };
    command.spawn()
}

/// Waits for the command, and forwards the signals that it does not get from the terminal.
async fn attend(
    child: &mut Child,
    hosted: &mut Hosted,
    signals: &mut Signals,
    listeners: &mut Listeners,
) -> Guest {
    let has_terminal = io::stdin().is_terminal();
    loop {
        tokio::select! {
            ended = child.wait() => return match ended {
                Ok(status) => Guest::Ended(status),
                Err(error) => Guest::NotStarted(error),
            },
            signal = signals.next() => {
                // The terminal sends its own signals to every process of the group, the command among them.
                if signal == Signal::SIGTERM || !has_terminal {
                    send(child, signal);
                }
            }
            changed = hosted.changes.changed() => {
                let status = hosted.changes.borrow_and_update().clone();
                let over = changed.is_err() || matches!(status.state, State::Ending | State::Ended);
                if over {
                    output::note("slipway: the session ended, so the command is ended too");
                    end(child).await;
                    return Guest::Outlived;
                }
                listeners.status(&status);
            }
        }
    }
}

async fn end(child: &mut Child) {
    send(child, Signal::SIGTERM);
    if tokio::time::timeout(FAREWELL, child.wait()).await.is_err() {
        // A command that cannot be killed is left.
        let _ = tokio::time::timeout(DEATH, child.kill()).await;
    }
}

fn send(child: &Child, signal: Signal) {
    if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) {
        // The command was not waited for, so its process id is still its own. If it has ended, the error does not matter.
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

/// Returns the exit code that a shell would give.
fn code(status: ExitStatus) -> u8 {
    match (status.code(), status.signal()) {
        (Some(code), _) => u8::try_from(code).unwrap_or(OURS),
        (None, Some(signal)) => signalled(signal),
        (None, None) => OURS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_those_of_a_shell() {
        assert_eq!(code(ExitStatus::from_raw(3 << 8)), 3);
        assert_eq!(code(ExitStatus::from_raw(0)), 0);
        assert_eq!(code(ExitStatus::from_raw(9)), 137);
        assert_eq!(signalled(Signal::SIGTERM as i32), 143);
    }
}
