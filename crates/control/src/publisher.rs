//! Publisher: where a session puts what its clients see.

use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use slipway_control_api::{NameEvent, SessionStatus, State};
use tokio::sync::{broadcast, watch};

use crate::log::LogRing;
use crate::problems::{ProblemSource, Problems};

/// How many names a watcher may be behind before it misses some.
const NAME_QUEUE: usize = 256;

/// What a session says: the way in for everything that clients see. Clones publish for the same session.
#[derive(Clone, Debug)]
pub struct Publisher {
    status: Arc<watch::Sender<SessionStatus>>,
    problems: Arc<Mutex<Problems>>,
    names: broadcast::Sender<NameEvent>,
    logs: LogRing,
}

impl Publisher {
    /// A publisher whose first status is `initial`. Only [`Server::bind`](crate::Server::bind) makes one that clients
    /// can reach.
    pub fn new(initial: SessionStatus, logs: LogRing) -> Self {
        Self {
            status: Arc::new(watch::Sender::new(initial)),
            problems: Arc::default(),
            names: broadcast::Sender::new(NAME_QUEUE),
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

    /// Whether anybody would hear of a name now: names come by the thousand, and few people watch.
    pub fn names_are_watched(&self) -> bool {
        self.names.receiver_count() > 0
    }

    /// Tells of a name that was asked for.
    pub fn name(&self, event: NameEvent) {
        // Nobody watching is no failure.
        let _ = self.names.send(event);
    }

    /// The log that clients read.
    pub fn logs(&self) -> &LogRing {
        &self.logs
    }

    pub(crate) fn follow_names(&self) -> broadcast::Receiver<NameEvent> {
        self.names.subscribe()
    }
}
