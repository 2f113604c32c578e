//! A session in the background: the starter, which waits, and the process of the session.
//!
//! ```text
//! starter ── spawns, SLIPWAY_DETACHED_SESSION=1 ──► session (a login session of its own, no terminal)
//!         ◄── its progress and failure, a line of JSON for each event, on its standard output, until connected ──
//!         ◄── its log (`-v`), on its standard error ──
//! ```
//!
//! Both outputs are pipes, so neither the session nor a process that it starts holds the starter's terminal or outputs:
//! a program that waits for these to close continues when the starter ends. Once connected, the session closes the pipes.

use std::fs::OpenOptions;
use std::io::{self, Stdout};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, dup2_stderr, dup2_stdin, dup2_stdout, setsid};
use slipway_control_api::{Progress, SessionStatus, State};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::arguments::Session;
use crate::command::helper::offer;
use crate::failure::{Failure, Uncoded};
use crate::hosting::{Hosted, Signals, block_on, host, refuse_second};
use crate::narration::{Otherwise, Teller};
use crate::output;
use crate::progress::{BackgroundWriter, ProgressWriter};

/// Environment variable that marks the process of a detached session.
const DETACHED: &str = "SLIPWAY_DETACHED_SESSION";

/// How long the log's pipe is read after the session's process ended.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// One of the two processes.
pub(super) enum Role {
    Starter,
    Session,
}

/// Returns the role of this process.
pub(super) fn role() -> Role {
    if std::env::var_os(DETACHED).is_some() {
        Role::Session
    } else {
        Role::Starter
    }
}

/// Starts the process of the session, shows its progress, and returns when it is connected.
pub(super) fn start(
    session: Session,
    progress: Option<&mut ProgressWriter<BackgroundWriter>>,
) -> Result<ExitCode, Failure> {
    let verbose = session.verbose;
    let helper = session.helper_socket();
    let (options, _) = session.options(false)?;
    if progress.is_none() {
        offer(&options.profile, &helper)?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .uncoded("Failed to start the runtime")?;
    runtime.block_on(async {
        // Checked here, because this process has the terminal.
        refuse_second(&options).await?;
        let signals = Signals::new()?;
        let child = Command::new(std::env::current_exe().uncoded("Failed to find this program")?)
            .args(std::env::args_os().skip(1))
            .env(DETACHED, "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .uncoded("Failed to start the session")?;
        let shown = match progress {
            Some(progress) => Shown::AsData(progress),
            None => Shown::InWords(Teller::new(verbose, Otherwise::Stdout)),
        };
        follow(child, signals, shown).await
    })
}

/// Runs the session. Its failure goes to the starter, which reports it.
pub(super) fn run(session: Session) -> Result<ExitCode, Failure> {
    let mut progress = ProgressWriter::to_starter();
    let outcome = in_background(session, &mut progress);
    progress.conclude(outcome)
}

fn in_background(session: Session, progress: &mut ProgressWriter<Stdout>) -> Result<ExitCode, Failure> {
    // A signal at the end of the starter's terminal or login does not reach another login session.
    setsid().uncoded("Failed to leave the terminal")?;
    let verbose = session.verbose;
    let (options, method) = session.options(false)?;
    let outcome = block_on(async {
        let signals = Signals::new()?;
        host(options, method, verbose, |hosted| {
            background(hosted, signals, progress)
        })
        .await
    })?;
    outcome?.0?;
    Ok(ExitCode::SUCCESS)
}

async fn background(mut hosted: Hosted, mut signals: Signals, progress: &mut ProgressWriter<Stdout>) {
    let mut starter_waits = true;
    loop {
        let status = hosted.changes.borrow_and_update().clone();
        if starter_waits {
            if progress.status(&status).is_err() && status.state != State::Ended {
                // The starter is gone before the session is connected, so no user knows of it.
                hosted.stop.cancel();
            }
            if status.state == State::Connected {
                starter_waits = false;
                if let Err(error) = let_go() {
                    tracing::warn!(%error, "failed to close the starter's pipes");
                }
            }
        }
        if status.state == State::Ended {
            return;
        }
        tokio::select! {
            changed = hosted.changes.changed() => if changed.is_err() { return },
            _ = signals.next() => hosted.stop.cancel(),
        }
    }
}

fn let_go() -> io::Result<()> {
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    dup2_stderr(&null)?;
    Ok(())
}

/// Output of the starter: text or JSON.
enum Shown<'a> {
    InWords(Teller),
    AsData(&'a mut ProgressWriter<BackgroundWriter>),
}

impl Shown<'_> {
    fn status(&mut self, status: &SessionStatus) {
        match self {
            Shown::InWords(teller) => {
                teller.tell(status);
                if status.state == State::Connected {
                    teller.line(&format!("Disconnect with `slipway disconnect {}`.", status.id));
                }
            }
            Shown::AsData(progress) => {
                if let Err(error) = progress.status(status) {
                    // The session does not depend on the reader, and `slipway status` shows it.
                    tracing::debug!(%error, "progress could not be written");
                }
            }
        }
    }

    fn log(&self, line: &str) {
        match self {
            Shown::InWords(teller) => teller.log(line),
            Shown::AsData(_) => output::note(line),
        }
    }
}

async fn follow(mut child: Child, mut signals: Signals, mut shown: Shown<'_>) -> Result<ExitCode, Failure> {
    let unread = "Failed to read from the session";
    let mut lines = BufReader::new(child.stdout.take().uncoded(unread)?).lines();
    let mut log = BufReader::new(child.stderr.take().uncoded(unread)?).lines();
    let mut log_ended = false;
    let mut failure = None;
    let mut asked_to_end = false;
    loop {
        tokio::select! {
            line = lines.next_line() => {
                let Some(line) = line.uncoded(unread)? else { break };
                match serde_json::from_str(&line) {
                    Ok(Progress::Status(status)) => {
                        shown.status(&status);
                        if status.state == State::Connected {
                            return Ok(ExitCode::SUCCESS);
                        }
                    }
                    Ok(Progress::Failed(problem)) => failure = Some(problem),
                    Err(_) => {}
                }
            }
            line = log.next_line(), if !log_ended => match line.uncoded(unread)? {
                Some(line) => shown.log(&line),
                None => log_ended = true,
            },
            _ = signals.next() => {
                asked_to_end = true;
                if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) {
                    // An error means that the process has just ended.
                    let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
                }
            }
        }
    }
    let status = child.wait().await.uncoded("Failed to wait for the session")?;
    let rest = async {
        while let Ok(Some(line)) = log.next_line().await {
            shown.log(&line);
        }
    };
    // A process that the session started may still hold the pipe, so the wait has a limit.
    let _ = tokio::time::timeout(LAST_WORDS, rest).await;
    drop(shown);
    match failure {
        Some(problem) => Err(problem.into()),
        None if asked_to_end => Ok(ExitCode::SUCCESS),
        None if status.success() => Err(Failure::Uncoded(
            "The session ended before it was connected".to_owned(),
        )),
        None => Err(Failure::Uncoded(format!(
            "The session's process ended without a reason ({status})"
        ))),
    }
}
