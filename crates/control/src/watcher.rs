//! Watcher of all sessions.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::time::Duration;

use slipway_control_api::{NameEvent, SessionId, SessionStatus, Subscription};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

use crate::client::{Client, WatchEvent};
use crate::error::Error;
use crate::folder::RuntimeFolder;
use crate::folder_watch::FolderWatch;

/// Number of snapshots and names that may wait for a slow reader before the watcher waits too.
const QUEUE: usize = 64;
/// Pause before the next attempt after a session was lost, or the folder could not be watched.
const RETRY: Duration = Duration::from_secs(1);

/// All sessions at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The sessions that run.
    pub sessions: BTreeMap<SessionId, SessionStatus>,
    /// Sessions that are gone since the last snapshot, each with its last status. If that is not
    /// [`State::Ended`](slipway_control_api::State::Ended), the process died.
    pub gone: Vec<SessionStatus>,
    /// Names that were asked for since the last snapshot.
    pub names: Vec<(SessionId, NameEvent)>,
}

/// Watches the folder and every session in it. Dropping it ends no session.
#[derive(Debug)]
pub struct Watcher {
    snapshots: mpsc::Receiver<Snapshot>,
    task: JoinHandle<()>,
}

impl Watcher {
    /// Starts to watch with this subscription. The first snapshot comes when every running session has answered or failed
    /// to.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder cannot be watched.
    pub fn start(folder: RuntimeFolder, subscription: Subscription) -> Result<Self, Error> {
        folder.ensure()?;
        let register = FolderWatch::start(folder.path())?;
        let (snapshots, receiver) = mpsc::channel(QUEUE);
        let task = tokio::spawn(watch_all(folder, subscription, register, snapshots));
        Ok(Self {
            snapshots: receiver,
            task,
        })
    }

    /// Waits for the next snapshot; there is one for each change. Cancel safe.
    pub async fn next(&mut self) -> Option<Snapshot> {
        self.snapshots.recv().await
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Report of the task that watches a session.
enum Report {
    Event(SessionId, WatchEvent),
    Lost(SessionId),
}

async fn watch_all(
    folder: RuntimeFolder,
    subscription: Subscription,
    mut register: FolderWatch,
    snapshots: mpsc::Sender<Snapshot>,
) {
    let (reports, mut reported) = mpsc::channel(QUEUE);
    let mut watched: BTreeMap<SessionId, Option<SessionStatus>> = BTreeMap::new();
    let mut given_up: BTreeSet<SessionId> = BTreeSet::new();
    let mut tasks = JoinSet::new();
    let mut sent: Option<BTreeMap<SessionId, SessionStatus>> = None;
    let mut snapshot = Snapshot::default();
    loop {
        for id in folder.ids().unwrap_or_default() {
            if !watched.contains_key(&id) {
                watched.insert(id.clone(), None);
                tasks.spawn(watch_one(folder.clone(), id, subscription, reports.clone()));
            }
        }
        snapshot.sessions = watched
            .iter()
            .filter_map(|(id, status)| Some((id.clone(), status.clone()?)))
            .collect();
        let news = match &sent {
            // The first snapshot is complete: it waits for every session of that moment once.
            None => watched
                .iter()
                .all(|(id, status)| status.is_some() || given_up.contains(id)),
            Some(sent) => {
                *sent != snapshot.sessions || !snapshot.gone.is_empty() || !snapshot.names.is_empty()
            }
        };
        if news {
            sent = Some(snapshot.sessions.clone());
            if snapshots.send(mem::take(&mut snapshot)).await.is_err() {
                return;
            }
        }

        tokio::select! {
            Some(report) = reported.recv() => match report {
                Report::Event(id, WatchEvent::Status(status)) => {
                    watched.insert(id, Some(*status));
                }
                Report::Event(id, WatchEvent::Name(name)) => snapshot.names.push((id, *name)),
                Report::Event(_, WatchEvent::Missed(_)) => {}
                Report::Lost(id) => {
                    snapshot.gone.extend(watched.remove(&id).flatten());
                    if sent.is_none() {
                        given_up.insert(id);
                    }
                }
            },
            changed = register.changed() => {
                if !matches!(changed, Ok(true)) {
                    register = rewatch(&folder).await;
                }
            }
            Some(_) = tasks.join_next() => {}
            () = snapshots.closed() => return,
        }
    }
}

/// Watches the folder anew after it was removed or could not be read; tries until it succeeds.
async fn rewatch(folder: &RuntimeFolder) -> FolderWatch {
    loop {
        match folder.ensure().and_then(|()| FolderWatch::start(folder.path())) {
            Ok(register) => return register,
            Err(error) => tracing::warn!(%error, "failed to watch for sessions"),
        }
        sleep(RETRY).await;
    }
}

async fn watch_one(
    folder: RuntimeFolder,
    id: SessionId,
    subscription: Subscription,
    reports: mpsc::Sender<Report>,
) {
    if let Err(error) = relay(&folder, &id, subscription, &reports).await {
        tracing::debug!(%id, %error, "a session is no longer watched");
        // The session may only be slow: it stays listed for a while, and is tried again if its socket exists.
        sleep(RETRY).await;
    }
    let _ = reports.send(Report::Lost(id)).await;
}

async fn relay(
    folder: &RuntimeFolder,
    id: &SessionId,
    subscription: Subscription,
    reports: &mpsc::Sender<Report>,
) -> Result<(), Error> {
    let mut watch = match Client::connect(folder, id).await {
        Err(Error::NoSession(_)) => return Ok(()),
        client => client?.watch(subscription).await?,
    };
    while let Some(event) = watch.next().await? {
        if reports.send(Report::Event(id.clone(), event)).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}
