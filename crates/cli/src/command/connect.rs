//! `slipway connect`: a session in the foreground, or one that this process starts and leaves running.

use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::Context;
use slipway_control::{LogRing, RuntimeFolder, Server, SessionId, SessionStatus, State};
use slipway_session::{Desk, Options, SessionError};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::arguments::command_connect::Connect;

/// Set for the process that a detached session runs in: it says `connected` on standard output and lets go of it.
const DETACHED: &str = "SLIPWAY_DETACHED_SESSION";

/// What a detached session says when programs reach the cluster.
const CONNECTED: &str = "connected";

pub(crate) fn run(arguments: Connect) -> anyhow::Result<ExitCode> {
    if arguments.detach && std::env::var_os(DETACHED).is_none() {
        return detach();
    }
    let detached = arguments.detach;
    let verbose = arguments.verbose;
    let terminal = !detached && io::stdin().is_terminal();
    let options = arguments.session.options(terminal)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(session(options, verbose, |status| announce(status, detached)));
    // A getaddrinfo that still waits must not hold up the end.
    runtime.shutdown_timeout(Duration::from_millis(200));
    match outcome? {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(error.problem().into()),
    }
}

/// Runs a session in this process, until it ends by itself or by a signal.
pub(crate) async fn session(
    options: Options,
    verbose: u8,
    mut tell: impl FnMut(&SessionStatus),
) -> anyhow::Result<Result<(), SessionError>> {
    let logs = LogRing::new();
    log_to(&logs, verbose);
    let folder = RuntimeFolder::of_user()?;
    let named = options.saved.then(|| options.profile.name.to_string());
    let context = options.profile.cluster.context.as_ref().map(ToString::to_string);
    let id = SessionId::fresh(named.as_deref().or(context.as_deref()).unwrap_or("session"));
    let initial = SessionStatus::preparing(id, named, options.profile.method);
    let desk = Desk::default();
    let stop = desk.stop();
    let (server, publisher) = Server::bind(&folder, initial, logs, desk.clone())?;

    let mut signals = Signals::new()?;
    let mut changes = publisher.watch();
    let mut session = std::pin::pin!(slipway_session::run(options, publisher, desk));
    let outcome = loop {
        tokio::select! {
            outcome = &mut session => break outcome,
            Ok(()) = changes.changed() => tell(&changes.borrow_and_update().clone()),
            () = signals.any() => stop.cancel(),
        }
    };
    tell(&changes.borrow_and_update().clone());
    server.end().await;
    Ok(outcome)
}

/// Ctrl-C, an end asked for by the system, and a terminal that went away.
struct Signals([Signal; 3]);

impl Signals {
    fn new() -> io::Result<Signals> {
        let kinds = [
            SignalKind::interrupt(),
            SignalKind::terminate(),
            SignalKind::hangup(),
        ];
        let [a, b, c] = kinds.map(signal);
        Ok(Signals([a?, b?, c?]))
    }

    async fn any(&mut self) {
        let [a, b, c] = &mut self.0;
        tokio::select! {
            _ = a.recv() => {}
            _ = b.recv() => {}
            _ = c.recv() => {}
        }
    }
}

fn log_to(logs: &LogRing, verbose: u8) {
    let ring = {
        let logs = logs.clone();
        tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .with_writer(move || logs.writer())
    };
    let shown = match verbose {
        0 => LevelFilter::OFF,
        1 => LevelFilter::INFO,
        _ => LevelFilter::DEBUG,
    };
    let terminal = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_filter(shown);
    let _already_set = tracing_subscriber::registry()
        .with(ring.with_filter(LevelFilter::INFO))
        .with(terminal)
        .try_init();
}

/// Shows progress while connecting, and each change of state after it.
fn announce(status: &SessionStatus, detached: bool) {
    if detached {
        if status.state == State::Connected {
            let _starter_is_gone = writeln!(io::stdout(), "{CONNECTED}");
            let _starter_is_gone = io::stdout().flush();
        }
        return;
    }
    if let Some(step) = &status.step {
        let _ = writeln!(io::stderr(), "{}: {step}", status.state);
    } else {
        let _ = writeln!(io::stderr(), "{}", status.state);
    }
}

/// Starts this program once more, in a session of its own, and waits until that is connected.
fn detach() -> anyhow::Result<ExitCode> {
    let mut command = Command::new(std::env::current_exe().context("Failed to find this program")?);
    command
        .args(std::env::args_os().skip(1))
        .env(DETACHED, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    let mut child = command.spawn().context("Failed to start the session")?;
    let said = child.stdout.take().map(BufReader::new);
    let connected = said
        .into_iter()
        .flat_map(BufRead::lines)
        .map_while(Result::ok)
        .any(|line| line == CONNECTED);
    if connected {
        return Ok(ExitCode::SUCCESS);
    }
    let output = child
        .wait_with_output()
        .context("Failed to wait for the session")?;
    io::stderr().write_all(&output.stderr)?;
    Ok(output
        .status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .map_or(ExitCode::FAILURE, ExitCode::from))
}
