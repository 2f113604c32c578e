//! Publisher of a session's status, names and log to its clients.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use slipway_control_api::{History, NameEvent, SessionStatus, State};
use tokio::sync::{broadcast, watch};

use crate::history::Recorder;
use crate::log::LogRing;
use crate::names::NameRing;
use crate::problems::{ProblemSource, Problems};

/// Publisher of everything that clients of a session see. Clones publish for the same session.
#[derive(Clone, Debug)]
pub struct Publisher {
    status: Arc<watch::Sender<SessionStatus>>,
    problems: Arc<Mutex<Problems>>,
    history: Arc<Mutex<Recorder>>,
    names: NameRing,
    logs: LogRing,
}

impl Publisher {
    /// A publisher with the first status `initial`. Clients can reach only one that
    /// [`Server::bind`](crate::Server::bind) makes.
    pub fn new(initial: SessionStatus, logs: LogRing) -> Self {
        Self {
            history: Arc::new(Mutex::new(Recorder::new(&initial))),
            status: Arc::new(watch::Sender::new(initial)),
            problems: Arc::default(),
            names: NameRing::new(),
            logs,
        }
    }

    /// Changes the status, except for its problems, which belong to their sources. Another state sets `since`. Watchers
    /// see the whole change at once, and are woken only if something changed.
    pub fn update(&self, change: impl FnOnce(&mut SessionStatus)) {
        self.status.send_if_modified(|status| {
            let before = status.clone();
            change(status);
            if status.state != before.state && status.since == before.since {
                status.since = Timestamp::now();
            }
            let is_changed = *status != before;
            if is_changed {
                self.recorder().changed(&before, status, Timestamp::now());
            }
            is_changed
        });
    }

    /// Notes in the history how the session is in this second.
    pub fn second(&self) {
        let status = self.status.borrow();
        self.recorder().second(&status, Timestamp::now());
    }

    /// Returns the last hour.
    pub(crate) fn history(&self) -> History {
        self.recorder().history(Timestamp::now())
    }

    fn recorder(&self) -> MutexGuard<'_, Recorder> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Creates a source of problems, which are listed after those of earlier sources.
    pub fn problem_source(&self) -> ProblemSource {
        ProblemSource::new(
            Arc::clone(&self.problems),
            Arc::clone(&self.history),
            Arc::clone(&self.status),
        )
    }

    /// Enters a state, and clears `step` and `cause` of the state before.
    pub fn enter(&self, state: State) {
        self.enter_because(state, None);
    }

    /// Enters a state because something went wrong, and clears the `step` of the state before.
    pub fn enter_because(&self, state: State, cause: Option<String>) {
        self.update(|status| {
            status.state = state;
            status.step = None;
            status.cause = cause;
        });
    }

    /// Subscribes to the status, within this process.
    pub fn watch(&self) -> watch::Receiver<SessionStatus> {
        self.status.subscribe()
    }

    /// Returns the present status.
    pub fn status(&self) -> SessionStatus {
        self.status.borrow().clone()
    }

    /// Whether a client watches names now. Names that are answered from the cache are too many to publish otherwise.
    pub fn names_are_watched(&self) -> bool {
        self.names.is_followed()
    }

    /// Keeps a name that was asked for, and sends it to watchers.
    pub fn name(&self, event: NameEvent) {
        self.names.push(event);
    }

    /// Sends a name that was answered from the cache to watchers. Its first answer is kept already.
    pub fn name_again(&self, event: NameEvent) {
        self.names.repeat(event);
    }

    /// The log that clients read.
    pub fn logs(&self) -> &LogRing {
        &self.logs
    }

    /// Returns the names that are kept, the oldest first.
    pub fn kept_names(&self) -> Vec<NameEvent> {
        self.names.follow().0
    }

    /// Returns the names that are kept, and a receiver of new ones.
    pub(crate) fn follow_names(&self) -> (Vec<NameEvent>, broadcast::Receiver<NameEvent>) {
        self.names.follow()
    }
}
