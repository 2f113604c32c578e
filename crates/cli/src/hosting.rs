//! A session in this process: its socket, its log, and what goes on beside it.

use std::io::{self, IsTerminal};

use nix::sys::signal::Signal;
use slipway_cluster::kubeconfig::{choose, contexts};
use slipway_control::{LogRing, Problem, RuntimeFolder, Server, SessionId, SessionStatus, State};
use slipway_session::{Desk, Options, SessionError};
use tokio::signal::unix::{self, SignalKind};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::arguments::chosen;
use crate::sessions;

/// What goes on beside a session sees of it.
pub(crate) struct Hosted {
    /// Its status as it changes; [`State::Ended`] is the last.
    pub(crate) changes: watch::Receiver<SessionStatus>,
    /// Ends it when cancelled.
    pub(crate) stop: CancellationToken,
}

/// Runs a session in this process, and `beside` it something that watches and ends it. Returns when both are over.
///
/// # Errors
///
/// When the session cannot be begun: the same one runs already, or its socket cannot be made.
pub(crate) async fn host<T, F: Future<Output = T>>(
    options: Options,
    verbose: u8,
    beside: impl FnOnce(Hosted) -> F,
) -> anyhow::Result<(Result<(), SessionError>, T)> {
    refuse_second(&options).await?;
    let logs = LogRing::new();
    log_to(&logs, verbose);
    let named = options.saved.then(|| options.profile.name.to_string());
    let context = options.profile.cluster.context.as_ref().map(ToString::to_string);
    let id = SessionId::fresh(named.as_deref().or(context.as_deref()).unwrap_or("session"));
    let initial = SessionStatus::preparing(id, named, options.profile.method);
    let desk = Desk::default();
    let stop = desk.stop();
    let (server, publisher) = Server::bind(&RuntimeFolder::of_user()?, initial, logs, desk.clone())?;
    let changes = publisher.watch();
    let session = Box::pin(slipway_session::run(options, publisher, desk));
    let outcome = tokio::join!(session, beside(Hosted { changes, stop }));
    server.end().await;
    Ok(outcome)
}

/// Refuses a session that runs already: of the same profile, or without one in the same place.
///
/// # Errors
///
/// `already-connected`, with the id of the one that runs.
pub(crate) async fn refuse_second(options: &Options) -> anyhow::Result<()> {
    let running = sessions::all().await?;
    let wanted = if options.saved {
        Wanted::Profile(options.profile.name.to_string())
    } else {
        let (sources, choice) = chosen(&options.profile, false)?;
        // A kubeconfig that cannot be read is the session's to complain about.
        let Ok(target) = choose(&sources, &choice).await else {
            return Ok(());
        };
        // Two contexts of one server are one place: the agent would be the same.
        let listed = contexts(&sources).unwrap_or_default();
        let server = |name: &str| {
            let context = listed.iter().find(|context| context.name == name)?;
            context.server.clone()
        };
        let same_server = |context: &str| {
            context == target.context || server(context).is_some_and(|of| Some(of) == server(&target.context))
        };
        let contexts = running
            .iter()
            .filter_map(|session| session.context.clone())
            .filter(|context| same_server(context))
            .collect();
        Wanted::Place {
            contexts,
            namespace: target.namespace,
        }
    };
    match wanted.among(&running) {
        Some(first) => Err(Problem::new(
            "already-connected",
            format!("{} is connected already, by session {}.", first.title(), first.id),
            format!("Use it, or end it first with `slipway disconnect {}`.", first.id),
        )
        .into()),
        None => Ok(()),
    }
}

/// What there may be one session of.
enum Wanted {
    Profile(String),
    Place {
        contexts: Vec<String>,
        namespace: String,
    },
}

impl Wanted {
    fn among<'a>(&self, running: &'a [SessionStatus]) -> Option<&'a SessionStatus> {
        running
            .iter()
            .filter(|session| !matches!(session.state, State::Ending | State::Ended))
            .find(|session| match self {
                Wanted::Profile(name) => session.profile.as_ref() == Some(name),
                Wanted::Place { contexts, namespace } => {
                    session.profile.is_none()
                        && session.namespace.as_ref() == Some(namespace)
                        && session
                            .context
                            .as_ref()
                            .is_some_and(|context| contexts.contains(context))
                }
            })
    }
}

/// The signals by which a person, the system and a terminal end a program.
pub(crate) struct Signals([(Signal, unix::Signal); 4]);

impl Signals {
    /// Takes them over from now on.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    pub(crate) fn new() -> io::Result<Signals> {
        let take = |signal: Signal, kind| Ok::<_, io::Error>((signal, unix::signal(kind)?));
        Ok(Signals([
            take(Signal::SIGINT, SignalKind::interrupt())?,
            take(Signal::SIGTERM, SignalKind::terminate())?,
            take(Signal::SIGHUP, SignalKind::hangup())?,
            take(Signal::SIGQUIT, SignalKind::quit())?,
        ]))
    }

    /// The next of them. Cancel safe.
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

/// Keeps the log for `slipway logs`, and shows it if asked to.
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
        .with_writer(io::stderr)
        .with_filter(shown);
    let _already_set = tracing_subscriber::registry()
        .with(ring.with_filter(LevelFilter::INFO))
        .with(terminal)
        .try_init();
}

#[cfg(test)]
mod tests {
    use slipway_profile::Method;

    use super::*;

    fn session(profile: Option<&str>, context: &str, namespace: &str, state: State) -> SessionStatus {
        let id = "one-a1".parse().unwrap();
        let mut session = SessionStatus::preparing(id, profile.map(str::to_owned), Method::VpnTcp);
        session.context = Some(context.into());
        session.namespace = Some(namespace.into());
        session.state = state;
        session
    }

    #[test]
    fn a_profile_is_connected_once() {
        let shop = Wanted::Profile("shop".into());
        let runs = |state| [session(Some("shop"), "staging", "shop", state)];
        assert!(shop.among(&runs(State::Preparing)).is_some());
        assert!(shop.among(&runs(State::Ending)).is_none());
        assert!(
            Wanted::Profile("blog".into())
                .among(&runs(State::Connected))
                .is_none()
        );
    }

    #[test]
    fn without_a_profile_a_place_is_connected_once() {
        let wanted = |namespace: &str| Wanted::Place {
            contexts: vec!["staging".into()],
            namespace: namespace.into(),
        };
        let unsaved = [session(None, "staging", "shop", State::Connected)];
        assert!(wanted("shop").among(&unsaved).is_some());
        assert!(wanted("blog").among(&unsaved).is_none());
        let saved = [session(Some("shop"), "staging", "shop", State::Connected)];
        assert!(wanted("shop").among(&saved).is_none());
    }
}
