//! A session in the background: the process that starts it and waits, and the one that it lives in.
//!
//! ```text
//! starter ── spawns, SLIPWAY_DETACHED_SESSION=1 ──► session (a login session of its own, no terminal)
//!         ◄── its status, a line of JSON for each change, on its standard output, until connected ──
//!         ◄── its log (`-v`), and what goes wrong before there is a session, on its standard error ──
//! ```
//!
//! Both are pipes: neither the session nor a process that it starts ever holds the starter's terminal or outputs, so
//! whoever waits for these to be closed goes on when the starter ends. Once connected, the session lets go of the pipes.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use anyhow::Context;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, dup2_stderr, dup2_stdin, dup2_stdout, setsid};
use slipway_control::{SessionStatus, State};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::arguments::Session;
use crate::failure::OURS;
use crate::hosting::{Hosted, Signals, block_on, host, refuse_second};
use crate::narration::{Otherwise, Teller};

/// Set for the process that a detached session lives in.
const DETACHED: &str = "SLIPWAY_DETACHED_SESSION";

/// How long after the session's process ended its pipe is read.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Which of the two processes this is.
pub(super) enum Role {
    Starter,
    Session,
}

/// Which of the two processes this is.
pub(super) fn role() -> Role {
    if std::env::var_os(DETACHED).is_some() {
        Role::Session
    } else {
        Role::Starter
    }
}

/// Starts the process of the session, shows its progress, and returns when it is connected.
pub(super) fn start(session: Session) -> anyhow::Result<ExitCode> {
    let verbose = session.verbose;
    let options = session.options(false)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        // What can be known before is said by this process, which has the terminal.
        refuse_second(&options).await?;
        let signals = Signals::new()?;
        let child = Command::new(std::env::current_exe().context("Failed to find this program")?)
            .args(std::env::args_os().skip(1))
            .env(DETACHED, "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("Failed to start the session")?;
        follow(child, signals, verbose).await
    })
}

/// The session itself. What it fails of, once begun, the starter says.
pub(super) fn run(session: Session) -> anyhow::Result<ExitCode> {
    // What ends the starter's terminal or login does not reach a session of its own.
    setsid().context("Failed to leave the terminal")?;
    let verbose = session.verbose;
    let options = session.options(false)?;
    let outcome = block_on(async {
        let signals = Signals::new()?;
        host(options, verbose, |hosted| background(hosted, signals)).await
    })?;
    match outcome?.0 {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(_said_by_the_starter) => Ok(ExitCode::from(OURS)),
    }
}

async fn background(mut hosted: Hosted, mut signals: Signals) {
    let mut starter_waits = true;
    loop {
        let status = hosted.changes.borrow_and_update().clone();
        if starter_waits {
            if tell_starter(&status).is_err() && status.state != State::Ended {
                // Nobody waits for it, and nobody was told of it.
                hosted.stop.cancel();
            }
            if status.state == State::Connected {
                starter_waits = false;
                if let Err(error) = let_go() {
                    tracing::warn!(%error, "the starter's outputs stay open");
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

fn tell_starter(status: &SessionStatus) -> io::Result<()> {
    let mut line = serde_json::to_string(status)?;
    line.push('\n');
    let mut out = io::stdout().lock();
    out.write_all(line.as_bytes())?;
    out.flush()
}

fn let_go() -> io::Result<()> {
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    dup2_stderr(&null)?;
    Ok(())
}

async fn follow(mut child: Child, mut signals: Signals, verbose: u8) -> anyhow::Result<ExitCode> {
    let mut teller = Teller::new(verbose, Otherwise::Stdout);
    let unread = "Failed to read from the session";
    let mut lines = BufReader::new(child.stdout.take().context(unread)?).lines();
    let mut log = BufReader::new(child.stderr.take().context(unread)?).lines();
    let mut log_ended = false;
    let mut last: Option<SessionStatus> = None;
    let mut asked_to_end = false;
    loop {
        tokio::select! {
            line = lines.next_line() => {
                let Some(line) = line.context(unread)? else { break };
                let Ok(status) = serde_json::from_str::<SessionStatus>(&line) else { continue };
                teller.tell(&status);
                if status.state == State::Connected {
                    teller.line(&format!("Disconnect with `slipway disconnect {}`.", status.id));
                    return Ok(ExitCode::SUCCESS);
                }
                last = Some(status);
            }
            line = log.next_line(), if !log_ended => match line.context(unread)? {
                Some(line) => teller.log(&line),
                None => log_ended = true,
            },
            _ = signals.next() => {
                asked_to_end = true;
                if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) {
                    // It may have ended by itself at this moment.
                    let _gone = kill(Pid::from_raw(pid), Signal::SIGTERM);
                }
            }
        }
    }
    let status = child.wait().await.context("Failed to wait for the session")?;
    let last_words = async {
        while let Ok(Some(line)) = log.next_line().await {
            teller.log(&line);
        }
    };
    // A process that the session started may be ending still, and hold the pipe.
    let _said_enough = tokio::time::timeout(LAST_WORDS, last_words).await;
    drop(teller);
    if let Some(problem) = last.and_then(|status| status.problem) {
        return Err(problem.into());
    }
    if asked_to_end {
        return Ok(ExitCode::SUCCESS);
    }
    anyhow::ensure!(!status.success(), "The session was ended before it was connected");
    Ok(ExitCode::from(OURS))
}
