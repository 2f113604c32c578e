//! Actor that owns the desktop's state.

use std::collections::BTreeMap;

use slipway_control::{Client, FolderWatch, RuntimeFolder, Watcher};
use slipway_control_api::{Problem, SessionId, Subscription};
use slipway_problem::Fault;
use slipway_profile::{ContextName, Listed, Profile, Store};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::View;
use crate::menu::Click;
use crate::program::Program;
use crate::state::{DesktopState, Reporter, Saved, Target};

/// Sources and tools of the actor.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The user's profiles.
    pub store: Store,
    /// The sessions' sockets.
    pub folder: RuntimeFolder,
    /// The program that starts sessions.
    pub program: Program,
}

/// Error of the actor's start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Sessions cannot be watched.
    #[error(transparent)]
    Sessions(#[from] slipway_control::Error),
    /// The profile folder cannot be created.
    #[error(transparent)]
    Profiles(#[from] slipway_profile::Error),
}

/// Keeps the state, publishes it in `view` and carries out `clicks`, until a click on Quit or the end of `clicks`.
/// Sessions continue.
///
/// # Errors
/// See [`Error`]; only at the start.
pub async fn run(
    surroundings: Surroundings,
    mut clicks: mpsc::Receiver<Click>,
    view: watch::Sender<View>,
) -> Result<(), Error> {
    let mut sessions = Watcher::start(surroundings.folder.clone(), Subscription::default())?;
    surroundings.store.ensure_folder()?;
    let profiles = FolderWatch::start(surroundings.store.folder())?;
    let mut actor = Actor {
        surroundings,
        desktop: DesktopState::default(),
        tasks: JoinSet::new(),
        attempts: BTreeMap::new(),
        attempt: 0,
    };
    actor.read_profiles();
    loop {
        tokio::select! {
            click = clicks.recv() => match click {
                None | Some(Click::Quit) => return Ok(()),
                Some(click) => actor.click(click),
            },
            Some(news) = sessions.next() => actor.desktop.tell(news),
            Ok(true) = profiles.changed() => actor.read_profiles(),
            Some(done) = actor.tasks.join_next() => match done {
                Ok(done) => actor.done(done),
                Err(error) => tracing::error!(%error, "a task of the desktop failed"),
            },
        }
        let now = View::of(&actor.desktop);
        view.send_if_modified(|shown| {
            let changed = *shown != now;
            *shown = now;
            changed
        });
    }
}

struct Actor {
    surroundings: Surroundings,
    desktop: DesktopState,
    /// The number of each target's present attempt to connect. The failure of an attempt that was given up is ignored.
    attempts: BTreeMap<Target, u64>,
    attempt: u64,
    /// Running tasks. Dropped with the actor; a session that is being started continues.
    tasks: JoinSet<Done>,
}

/// Result of a task.
enum Done {
    Profiles(Result<Vec<Listed>, slipway_profile::Error>),
    Contexts(Result<Vec<ContextName>, Problem>),
    Connect(Target, u64, Result<(), Problem>),
    Disconnect(Target, Result<(), slipway_control::Error>),
}

impl Actor {
    fn click(&mut self, click: Click) {
        match click {
            Click::Connect(target) => self.connect(target),
            Click::Disconnect(id) => self.disconnect(id),
            Click::DisconnectAll => {
                for id in self.desktop.sessions.keys().cloned().collect::<Vec<_>>() {
                    self.disconnect(id);
                }
            }
            Click::Dismiss => self.desktop.failures.clear(),
            Click::Quit => {}
        }
    }

    fn connect(&mut self, target: Target) {
        // A double click, or a session that was started in a terminal meanwhile.
        if !self.desktop.sessions_of(&target).is_empty() || !self.desktop.starting.insert(target.clone()) {
            return;
        }
        self.desktop.failures.remove(&target);
        self.attempt += 1;
        let attempt = self.attempt;
        self.attempts.insert(target.clone(), attempt);
        let program = self.surroundings.program.clone();
        self.tasks.spawn(async move {
            let connected = program.connect(&target).await;
            Done::Connect(target, attempt, connected)
        });
    }

    fn disconnect(&mut self, id: SessionId) {
        let Some(status) = self.desktop.sessions.get(&id) else {
            return;
        };
        let target = self.desktop.target_of(status);
        self.give_up(&target);
        let folder = self.surroundings.folder.clone();
        self.tasks.spawn(async move {
            let asked = async { Client::connect(&folder, &id).await?.request_disconnect().await };
            Done::Disconnect(target, asked.await)
        });
    }

    fn give_up(&mut self, target: &Target) {
        self.attempts.remove(target);
        self.desktop.starting.remove(target);
    }

    fn read_profiles(&mut self) {
        let store = self.surroundings.store.clone();
        self.tasks.spawn_blocking(move || Done::Profiles(store.list()));
    }

    fn read_contexts(&mut self) {
        let program = self.surroundings.program.clone();
        self.tasks
            .spawn(async move { Done::Contexts(program.contexts().await) });
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Profiles(Ok(listed)) => {
                self.desktop.profiles = listed.into_iter().map(saved).collect();
                if self.desktop.profiles.is_empty() {
                    self.read_contexts();
                }
            }
            Done::Profiles(Err(error)) => tracing::warn!(%error, "failed to list the profiles"),
            Done::Contexts(Ok(contexts)) => self.desktop.contexts = contexts,
            Done::Contexts(Err(problem)) => {
                tracing::warn!(
                    code = problem.code,
                    cause = problem.cause,
                    "failed to list the contexts"
                );
                self.desktop.contexts.clear();
            }
            Done::Connect(target, attempt, connected) => {
                if self.attempts.get(&target) != Some(&attempt) {
                    return;
                }
                self.give_up(&target);
                if let Err(problem) = connected {
                    tracing::warn!(%target, code = problem.code, cause = problem.cause, "failed to connect");
                    self.desktop.report(target, Reporter::Starter, problem);
                }
            }
            Done::Disconnect(_, Ok(()) | Err(slipway_control::Error::NoSession(_))) => {}
            Done::Disconnect(target, Err(error)) => {
                // A session that does not end as requested is reported, whatever was reported before.
                self.desktop.report(target, Reporter::Session, error.problem());
            }
        }
    }
}

fn saved(listed: Listed) -> Saved {
    match listed.profile {
        Ok(Profile { name, protected, .. }) => Saved::Profile { name, protected },
        Err(error) => Saved::Broken {
            stem: listed.stem,
            problem: error.problem(),
        },
    }
}
