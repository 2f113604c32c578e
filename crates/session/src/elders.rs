//! Elders: sessions of this user and method that connected before this one. Their answers for shared names count.

use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use slipway_control::{Client, RuntimeFolder, Watcher};
use slipway_control_api::{SessionId, SessionStatus, State, Subscription};
use tokio_util::task::AbortOnDropHandle;

/// Current elders, reached over their control sockets.
pub(crate) struct Elders {
    folder: RuntimeFolder,
    /// Sorted, oldest first.
    known: Arc<RwLock<Vec<SessionId>>>,
    _watching: Option<AbortOnDropHandle<()>>,
}

impl Elders {
    /// Watches `folder` for sessions that are older than `own`. If it cannot be watched, there are no elders.
    pub(crate) fn watch(folder: &RuntimeFolder, own: SessionStatus) -> Self {
        let known = Arc::<RwLock<Vec<SessionId>>>::default();
        let watching = match Watcher::start(folder.clone(), Subscription::default()) {
            Ok(watcher) => {
                let following = follow(watcher, own, known.clone());
                Some(AbortOnDropHandle::new(tokio::spawn(following)))
            }
            Err(error) => {
                tracing::warn!(%error, "cannot watch other sessions; this one may answer names that belong to them");
                None
            }
        };
        Self {
            folder: folder.clone(),
            known,
            _watching: watching,
        }
    }

    async fn ask_each(&self, elders: Vec<SessionId>, query: &[u8]) -> Option<Bytes> {
        for id in elders {
            let answer = async { Client::connect(&self.folder, &id).await?.answer(query).await };
            match answer.await {
                Ok(Some(answer)) => return Some(answer.into()),
                Ok(None) => {}
                Err(error) => tracing::debug!(%id, %error, "an elder did not answer"),
            }
        }
        None
    }
}

impl slipway_method::Elders for Elders {
    fn ask(&self, query: Bytes) -> BoxFuture<'_, Option<Bytes>> {
        let elders = self.known.read().unwrap_or_else(PoisonError::into_inner).clone();
        if elders.is_empty() {
            return std::future::ready(None).boxed();
        }
        async move { self.ask_each(elders, &query).await }.boxed()
    }
}

async fn follow(mut watcher: Watcher, own: SessionStatus, known: Arc<RwLock<Vec<SessionId>>>) {
    while let Some(picture) = watcher.next().await {
        let elders = elders(&own, picture.sessions.values());
        *known.write().unwrap_or_else(PoisonError::into_inner) = elders;
    }
}

/// Returns the connected sessions that are older than `own`, oldest first.
fn elders<'a>(own: &SessionStatus, sessions: impl Iterator<Item = &'a SessionStatus>) -> Vec<SessionId> {
    let answers = |session: &&SessionStatus| matches!(session.state, State::Connected | State::Reconnecting);
    let mut elders: Vec<_> = sessions
        .filter(answers)
        .filter(|session| session.method == own.method && session.age_order() < own.age_order())
        .collect();
    elders.sort_by_key(|session| session.age_order());
    elders.into_iter().map(|session| session.id.clone()).collect()
}

#[cfg(test)]
mod tests {
    use slipway_control::status_of_this_process;
    use slipway_profile::Method;

    use super::*;

    fn session(id: &str, started: &str, method: Method) -> SessionStatus {
        SessionStatus {
            started: started.parse().unwrap(),
            state: State::Connected,
            ..status_of_this_process(id.parse().unwrap(), None, method)
        }
    }

    #[test]
    fn elders_are_connected_sessions_of_the_same_method() {
        let own = session("own-1", "2026-03-01T12:00:00Z", Method::VpnTcp);
        let younger = session("young-1", "2026-03-01T12:00:01Z", Method::VpnTcp);
        let old = session("old-1", "2026-03-01T11:00:00Z", Method::VpnTcp);
        let oldest = session("old-2", "2026-03-01T10:00:00Z", Method::VpnTcp);
        let of_a_program = session("program-1", "2026-03-01T10:00:00Z", Method::InjectTcp);
        let preparing = SessionStatus {
            state: State::Preparing,
            ..session("new-1", "2026-03-01T09:00:00Z", Method::VpnTcp)
        };
        let all = [&own, &younger, &old, &oldest, &of_a_program, &preparing];
        let found = elders(&own, all.into_iter());
        assert_eq!(found, [oldest.id.clone(), old.id.clone()]);
    }
}
