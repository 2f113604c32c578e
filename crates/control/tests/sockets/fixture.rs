//! Fixture of the tests: sessions in a temporary folder.

use std::sync::Arc;

use jiff::Timestamp;
use slipway_control::{
    Client, Handler, LogRing, Publisher, RuntimeFolder, Server, fresh_id, status_of_this_process,
};
use slipway_control_api::{Answerer, Changed, Explanation, Found, NameEvent, Problem, SessionId, State};
use slipway_profile::{Change, Method};
use tempfile::TempDir;
use tokio::sync::Notify;

pub(crate) struct Fixture {
    pub(crate) folder: RuntimeFolder,
    _dir: TempDir,
}

pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) server: Server,
    pub(crate) publisher: Publisher,
    asked_to_end: Arc<Notify>,
}

#[derive(Default)]
pub(crate) struct Scripted {
    asked_to_end: Arc<Notify>,
}

impl Handler for Scripted {
    async fn answer(&self, query: Vec<u8>) -> Option<Vec<u8>> {
        (query == b"known").then(|| b"answer".to_vec())
    }

    fn disconnect(&self) {
        self.asked_to_end.notify_one();
    }

    async fn explain(&self, name: &str) -> Explanation {
        explain(name)
    }

    async fn change(&self, change: Change) -> Result<Changed, Problem> {
        Ok(changed(change, None))
    }

    async fn saved(&self, _: Option<u32>, profile: Change) -> Result<Changed, Problem> {
        Ok(changed(Change::default(), Some(profile)))
    }

    async fn undo(&self, number: Option<u32>) -> Result<Changed, Problem> {
        Err(Problem::new(
            "nothing-to-undo",
            format!("no change {number:?}"),
            "",
        ))
    }
}

pub(crate) fn changed(change: Change, profile: Option<Change>) -> Changed {
    Changed {
        number: Some(1),
        change,
        profile,
        hosts: Vec::new(),
        problems: Vec::new(),
    }
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self {
            folder: RuntimeFolder::at(dir.path().join("slipway")).unwrap(),
            _dir: dir,
        }
    }

    pub(crate) fn session(&self, name: &str) -> Session {
        let id = fresh_id(name);
        let asked_to_end = Arc::new(Notify::new());
        let handler = Scripted {
            asked_to_end: Arc::clone(&asked_to_end),
        };
        let initial = status_of_this_process(id.clone(), Some(name.into()), Method::VpnTcp);
        let (server, publisher) = Server::bind(&self.folder, initial, LogRing::new(), handler).unwrap();
        Session {
            id,
            server,
            publisher,
            asked_to_end,
        }
    }

    pub(crate) async fn client(&self, session: &Session) -> Client {
        Client::connect(&self.folder, &session.id).await.unwrap()
    }
}

impl Session {
    pub(crate) async fn end_when_asked(self) {
        self.asked_to_end.notified().await;
        self.publisher.enter(State::Ending);
        self.publisher.enter(State::Ended);
        self.server.end().await;
    }
}

pub(crate) fn explain(name: &str) -> Explanation {
    Explanation {
        name: name.into(),
        answered_by: Answerer::Cluster,
        answer: vec![[10, 96, 0, 7].into()],
        programs: None,
        port: None,
        backing: None,
        found: Found::NotAName,
    }
}

pub(crate) fn name_event(name: &str) -> NameEvent {
    NameEvent {
        at: Timestamp::UNIX_EPOCH,
        name: name.into(),
        kind: "A".into(),
        answer: vec!["10.96.0.7".into()],
        answered_by: Answerer::Cluster,
        asked_by: None,
        took_ms: 3,
        problem: None,
    }
}
