//! Test bed: one session between a scripted cluster and a recording method.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use slipway_control::{LogRing, Publisher, fresh_id, status_of_this_process};
use slipway_control_api::{Problem, SessionStatus, State};
use slipway_method::Elders;
use slipway_profile::{Method, Profile};
use slipway_tunnel::Limits;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::agent::Network;
use super::cluster::{Script, Scripted};
use super::method::{Record, Recording};
use crate::context::SessionContext;
use crate::control_handler::ControlHandler;
use crate::options::Options;
use crate::preparing::Preparing;
use crate::run::run_from;

/// Largest number of streams of a session.
pub(super) const MOST_STREAMS: usize = 4;

/// A running session.
pub(super) struct Bed {
    pub(super) cluster: Arc<Script>,
    pub(super) method: Arc<Record>,
    pub(super) handler: ControlHandler,
    publisher: Publisher,
    stop: CancellationToken,
    addresses: mpsc::Sender<()>,
    states: Arc<Mutex<Vec<State>>>,
    session: JoinHandle<Result<(), Problem>>,
}

/// Result of a session.
pub(super) struct End {
    /// Code of its failure; `None` if it was asked to end.
    pub(super) failure: Option<String>,
    /// Every state of the session except ending.
    pub(super) states: Vec<State>,
}

/// Starts a session of a profile without extra hosts.
pub(super) fn begin(cluster: Script, method: Record) -> Bed {
    begin_with(Profile::unsaved(), cluster, method)
}

/// Starts a session of a profile.
pub(super) fn begin_with(profile: Profile, cluster: Script, method: Record) -> Bed {
    let (cluster, method) = (Arc::new(cluster), Arc::new(method));
    let initial = status_of_this_process(fresh_id("shop"), None, Method::VpnTcp);
    let publisher = Publisher::new(initial, LogRing::new());
    let states = Arc::new(Mutex::new(vec![State::Preparing]));
    tokio::spawn(record(publisher.clone(), states.clone()));
    let (addresses, changes) = mpsc::channel(1);
    let changes = stream::unfold(changes, |mut changes| async {
        changes.recv().await?;
        Some(((), changes))
    });
    let handler = ControlHandler::default();
    let stop = handler.stop();
    let context = SessionContext {
        options: Options {
            profile,
            saved: false,
            terminal: false,
            home: PathBuf::from("/nonexistent"),
        },
        publisher: publisher.clone(),
        stop: stop.clone(),
        time_over: CancellationToken::new(),
        elders: Arc::new(NoElders),
        handler: handler.clone(),
    };
    let preparing = Preparing {
        clusters: Scripted(cluster.clone()),
        method: Box::new(Recording(method.clone())),
        address_changes: changes.boxed(),
        limits: Limits {
            streams: MOST_STREAMS,
            ..Limits::default()
        },
    };
    let session = tokio::spawn(async move { run_from(preparing, &context).await });
    Bed {
        cluster,
        method,
        handler,
        publisher,
        stop,
        addresses,
        states,
        session,
    }
}

struct NoElders;

impl Elders for NoElders {
    fn ask(&self, _: Bytes) -> BoxFuture<'_, Option<Bytes>> {
        std::future::ready(None).boxed()
    }
}

async fn record(publisher: Publisher, states: Arc<Mutex<Vec<State>>>) {
    let mut statuses = publisher.watch();
    while statuses.changed().await.is_ok() {
        let state = statuses.borrow_and_update().state;
        let mut states = states.lock().unwrap();
        // A watcher may miss a state that ends at once, like ending without anything to undo.
        if states.last() != Some(&state) && state != State::Ending {
            states.push(state);
        }
    }
}

impl Bed {
    pub(super) fn status(&self) -> SessionStatus {
        self.publisher.status()
    }

    /// Waits until the status meets a condition.
    pub(super) async fn until(&self, wanted: impl FnMut(&SessionStatus) -> bool) {
        self.publisher.watch().wait_for(wanted).await.unwrap();
    }

    /// Waits until the session is in a state.
    pub(super) async fn until_state(&self, state: State) {
        self.until(|status| status.state == state).await;
    }

    pub(super) fn set_network(&self, network: Network) {
        self.cluster.network.send_replace(network);
    }

    /// Reports a change of the laptop's addresses.
    pub(super) async fn change_addresses(&self) {
        self.addresses.send(()).await.unwrap();
    }

    pub(super) fn ask_to_stop(&self) {
        self.stop.cancel();
    }

    /// Asks the session to end, and waits for it.
    pub(super) async fn stop(self) -> End {
        self.ask_to_stop();
        self.end().await
    }

    /// Waits until the session ends.
    pub(super) async fn end(self) -> End {
        let outcome = self.session.await.unwrap();
        let failure = self.publisher.status().failure;
        assert_eq!(failure, outcome.err(), "the status has the failure");
        assert_eq!(self.publisher.status().state, State::Ended);
        assert_eq!(self.publisher.status().problems, [], "problems are withdrawn");
        tokio::task::yield_now().await;
        let states = self.states.lock().unwrap().clone();
        End {
            failure: failure.map(|problem| problem.code),
            states,
        }
    }
}
