//! Publisher: where a session puts what its clients see.

use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use slipway_control_api::{NameEvent, SessionStatus, State};
use tokio::sync::{broadcast, watch};

use crate::log::LogRing;
use crate::names::NameRing;
use crate::problems::{ProblemSource, Problems};

/// What a session says: the way in for everything that clients see. Clones publish for the same session.
#[derive(Clone, Debug)]
pub struct Publisher {
    status: Arc<watch::Sender<SessionStatus>>,
    problems: Arc<Mutex<Problems>>,
    names: NameRing,
    logs: LogRing,
}

impl Publisher {
    /// A publisher whose first status is `initial`. Only [`Server::bind`](crate::Server::bind) makes one that clients
    /// can reach.
    pub fn new(initial: SessionStatus, logs: LogRing) -> Self {
        Self {
            status: Arc::new(watch::Sender::new(initial)),
            problems: Arc::default(),
            names: NameRing::new(),
            logs,
        }
    }

    /// Changes the status, except for its problems, which belong to their sources. Entering another state sets `since`.
    /// Watchers see a change, never a half of it; they are not woken when nothing changed.
    pub fn update(&self, change: impl FnOnce(&mut SessionStatus)) {
        self.status.send_if_modified(|status| {
            let before = status.clone();
            change(status);
            if status.state != before.state && status.since == before.since {
                status.since = Timestamp::now();
            }
            *status != before
        });
    }

    /// A new source of problems, after those that there are.
    pub fn problem_source(&self) -> ProblemSource {
        ProblemSource::new(Arc::clone(&self.problems), Arc::clone(&self.status))
    }

    /// Enters a state; what was being done (`step`) is over with the one before.
    pub fn enter(&self, state: State) {
        self.update(|status| {
            status.state = state;
            status.step = None;
        });
    }

    /// The status as it changes, for whoever runs in this process.
    pub fn watch(&self) -> watch::Receiver<SessionStatus> {
        self.status.subscribe()
    }

    /// The status as it is.
    pub fn status(&self) -> SessionStatus {
        self.status.borrow().clone()
    }

    /// Whether anybody watches names now: those that are answered from memory come by the thousand.
    pub fn names_are_watched(&self) -> bool {
        self.names.is_followed()
    }

    /// Keeps a name that was asked for, and tells watchers of it.
    pub fn name(&self, event: NameEvent) {
        self.names.push(event);
    }

    /// Tells watchers of a name that was answered from memory. Its first answer is kept already.
    pub fn name_again(&self, event: NameEvent) {
        self.names.repeat(event);
    }

    /// The log that clients read.
    pub fn logs(&self) -> &LogRing {
        &self.logs
    }

    /// The names that are kept, and those to come.
    pub(crate) fn follow_names(&self) -> (Vec<NameEvent>, broadcast::Receiver<NameEvent>) {
        self.names.follow()
    }
}
