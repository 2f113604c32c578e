//! A session in this process: its claim, control socket, log and signals.

use std::io::{self, IsTerminal};
use std::time::Duration;

use nix::sys::signal::Signal;
use slipway_api_server::kubeconfig::choose;
use slipway_control::{
    Claim, ClaimError, LastWords, LogRing, PlainFields, RuntimeFolder, Server, Subject, fresh_id,
    status_of_this_process,
};
use slipway_control_api::{Problem, SessionId, SessionStatus, State};
use slipway_method::Method;
use slipway_session::{ControlHandler, Options};
use tokio::signal::unix::{self, SignalKind};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::arguments::{chosen, kubeconfig_variable};
use crate::failure::{Failure, OURS, Uncoded};
use crate::sessions;

/// How long the next session waits for one that is ending: longer than the ending session's own limit.
const ENDS_WITHIN: Duration = Duration::from_secs(10);

/// How often the next session looks whether the ending one is gone.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// How long a blocking call that still waits (getaddrinfo, a credential plugin) may delay the end.
const LAST_CALLS: Duration = Duration::from_millis(200);

/// Number of threads that move a session's bytes. The steps of a connection are short and follow one another; with two
/// threads, each step would wake the other thread, which takes longer than the step.
const WORKERS: usize = 1;

/// Access to a hosted session, for the code that runs beside it.
pub(crate) struct Hosted {
    /// Changes of its status; the last one is [`State::Ended`].
    pub(crate) changes: watch::Receiver<SessionStatus>,
    /// Ends it when cancelled.
    pub(crate) stop: CancellationToken,
}

/// Runs a future that hosts a session until it is done.
///
/// # Errors
///
/// When the system cannot start threads.
pub(crate) fn block_on<T>(hosting: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .uncoded("Failed to start the runtime")?;
    let outcome = runtime.block_on(hosting);
    runtime.shutdown_timeout(LAST_CALLS);
    Ok(outcome)
}

/// Runs a session in this process, and `beside`, which watches and ends it. Returns when both have ended.
///
/// # Errors
///
/// When the session cannot begin: the same one runs already, or its socket cannot be made.
pub(crate) async fn host<T, F: Future<Output = T>>(
    options: Options,
    method: Box<dyn Method>,
    verbose: u8,
    beside: impl FnOnce(Hosted) -> F,
) -> Result<(Result<(), Problem>, T), Failure> {
    let id = new_id(&options);
    // Held until the session is over.
    let _claim = claim(&options, &id).await?;
    let logs = LogRing::new();
    log_to(&logs, verbose);
    let named = options.saved.then(|| options.profile.name.to_string());
    let initial = SessionStatus {
        profile_id: options.saved.then(|| options.profile.identity()),
        kubeconfig: kubeconfig_variable(&chosen(&options.profile, false)?.0),
        ..status_of_this_process(id, named, options.profile.method)
    };
    let handler = ControlHandler::default();
    let stop = handler.stop();
    let folder = RuntimeFolder::of_user()?;
    let (server, publisher) = Server::bind(&folder, initial, logs.clone(), handler.clone())?;
    let changes = publisher.watch();
    let last = publisher.watch();
    let session = Box::pin(slipway_session::run(options, method, publisher, handler, &folder));
    // In this order: `join!` polls the first future first, so that `beside` also sees the first status of a session that
    // ends at once.
    let (besides, outcome) = tokio::join!(beside(Hosted { changes, stop }), session);
    let status = last.borrow().clone();
    match outcome {
        Ok(()) => folder.forget_last_words(status.title()),
        // Before the socket is removed, so that a reader always finds the socket or the saved status. A session that never
        // connected is reported by the command itself.
        Err(_) if was_connected(&status) => keep_last_words(&folder, status, &logs),
        Err(_) => {}
    }
    server.end().await;
    Ok((outcome, besides))
}

/// Whether the session was connected: every method then reports its capture.
fn was_connected(status: &SessionStatus) -> bool {
    status.capture.is_some()
}

/// Saves the last status and log, for `slipway status` and `slipway logs`.
fn keep_last_words(folder: &RuntimeFolder, status: SessionStatus, logs: &LogRing) {
    let words = LastWords {
        status,
        log: logs.lines(),
    };
    if let Err(error) = folder.keep_last_words(words) {
        tracing::warn!(%error, "the session's last status could not be saved");
    }
}

/// Checks early whether such a session runs already. The claim that [`host`] makes decides.
///
/// # Errors
///
/// `already-connected`, with the id of the running session.
pub(crate) async fn refuse_second(options: &Options) -> Result<(), Failure> {
    claim(options, &new_id(options)).await.map(drop)
}

fn new_id(options: &Options) -> SessionId {
    let named = options.saved.then(|| options.profile.name.as_str());
    let context = options.profile.cluster.context.as_ref().map(ToString::to_string);
    fresh_id(named.or(context.as_deref()).unwrap_or("session"))
}

/// Claims the profile or place of a session. Waits for a session that is ending.
async fn claim(options: &Options, id: &SessionId) -> Result<Option<Claim>, Failure> {
    let Some(what) = wanted(options)? else {
        return Ok(None);
    };
    let folder = RuntimeFolder::of_user()?;
    let deadline = Instant::now() + ENDS_WITHIN;
    loop {
        let by = match folder.claim(&what, id) {
            Ok(claim) => return Ok(Some(claim)),
            Err(ClaimError::Taken { by }) => by,
            Err(ClaimError::Failed(error)) => return Err(error.into()),
        };
        let running = sessions::all().await?;
        let holder = running.iter().find(|session| Some(&session.id) == by.as_ref());
        // A holder that is not listed has just begun, or is about to end.
        let stays = holder.is_some_and(|holder| !matches!(holder.state, State::Ending | State::Ended));
        if stays || Instant::now() >= deadline {
            return Err(already_connected(holder, by.as_ref()).into());
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

fn already_connected(holder: Option<&SessionStatus>, by: Option<&SessionId>) -> Problem {
    let Some(id) = by else {
        return Problem::new(
            "already-connected",
            "Another session of the same profile or place has just begun.",
            "`slipway status` shows it.",
        );
    };
    let what = holder.map_or_else(String::new, |holder| format!(" of {}", holder.title()));
    Problem::new(
        "already-connected",
        format!("Session {id}{what} is connected already."),
        format!("Use it, or end it first with `slipway disconnect {id}`."),
    )
}

/// Returns the subject of the claim: a saved profile, or without one a place. `None` if a kubeconfig cannot be read,
/// which the session reports.
fn wanted(options: &Options) -> Result<Option<Subject>, Failure> {
    if options.saved {
        return Ok(Some(Subject::Profile(options.profile.identity())));
    }
    let (sources, choice) = chosen(&options.profile, false)?;
    let target = choose(&sources, &choice).ok();
    // Two contexts with one server are one place: their agent would be the same.
    Ok(target.map(|target| Subject::Place {
        server: target.server,
        namespace: target.namespace,
    }))
}

/// Signals that end a program: SIGINT, SIGTERM, SIGHUP and SIGQUIT.
pub(crate) struct Signals([(Signal, unix::Signal); 4]);

impl Signals {
    /// Installs handlers for the signals.
    ///
    /// # Errors
    ///
    /// When the system refuses a handler.
    pub(crate) fn new() -> Result<Signals, Failure> {
        let take = |signal: Signal, kind| {
            let taken = unix::signal(kind).uncoded("Failed to take over signals")?;
            Ok::<_, Failure>((signal, taken))
        };
        Ok(Signals([
            take(Signal::SIGINT, SignalKind::interrupt())?,
            take(Signal::SIGTERM, SignalKind::terminate())?,
            take(Signal::SIGHUP, SignalKind::hangup())?,
            take(Signal::SIGQUIT, SignalKind::quit())?,
        ]))
    }

    /// Waits for the next signal. Cancel safe.
    pub(crate) async fn next(&mut self) -> Signal {
        let [(a, one), (b, two), (c, three), (d, four)] = &mut self.0;
        tokio::select! {
            _ = one.recv() => *a,
            _ = two.recv() => *b,
            _ = three.recv() => *c,
            _ = four.recv() => *d,
        }
    }
}

/// Returns the exit code that a shell gives for a program that a signal ended.
pub(crate) fn signalled(signal: i32) -> u8 {
    u8::try_from(128 + signal).unwrap_or(OURS)
}

/// Keeps the log for `slipway logs`, and writes it to standard error with `-v`.
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
        .with_ansi(io::stderr().is_terminal())
        .fmt_fields(PlainFields::default())
        .with_writer(io::stderr)
        .with_filter(shown);
    // A subscriber that is set already stays.
    let _ = tracing_subscriber::registry()
        .with(ring.with_filter(LevelFilter::INFO))
        .with(terminal)
        .try_init();
}

#[cfg(test)]
mod tests {
    use slipway_control_api::CaptureStatus;
    use slipway_profile::Method;

    use super::*;

    #[test]
    fn last_words_are_kept_for_every_method() {
        let id: SessionId = "shop-a1".parse().unwrap();
        let mut status = status_of_this_process(id, None, Method::VpnTcp);
        assert!(!was_connected(&status));
        status.capture = Some(CaptureStatus::Unknown);
        assert!(was_connected(&status));
    }

    #[test]
    fn a_refusal_names_the_session_and_how_to_end_it() {
        let id: SessionId = "shop-a1".parse().unwrap();
        let holder = status_of_this_process(id.clone(), Some("shop".into()), Method::VpnTcp);
        let problem = already_connected(Some(&holder), Some(&id));
        assert_eq!(problem.code, "already-connected");
        assert_eq!(problem.cause, "Session shop-a1 of shop is connected already.");
        assert!(
            problem.remedy.contains("slipway disconnect shop-a1"),
            "{}",
            problem.remedy
        );
        assert_eq!(already_connected(None, None).code, "already-connected");
    }
}
