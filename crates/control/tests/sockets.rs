//! Sessions and clients over real sockets in a folder of their own.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "in a test's helper a failure is the test's"
)]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use slipway_control::{
    Client, Error, Handler, LogRing, Picture, Publisher, RuntimeFolder, Server, WatchEvent, Watcher,
    fresh_id, sessions, status_of_this_process,
};
use slipway_control_api::{
    Answerer, Explanation, Health, NameEvent, PROTOCOL_VERSION, Problem, SessionId, SessionStatus, State,
    Subscription, WatchedNames,
};
use slipway_profile::Method;
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio::time::timeout;

/// Far above what any step takes; reached only when a promise is broken.
const LIMIT: Duration = Duration::from_secs(20);

/// What one who shows all there is subscribes to.
const EVERYTHING: Subscription = Subscription {
    names: WatchedNames::All,
    figures: true,
};

#[tokio::test]
async fn a_running_session_is_listed_and_an_ended_one_is_not() {
    let fixture = Fixture::new();
    assert!(sessions(&fixture.folder).await.unwrap().is_empty());

    let session = fixture.session("shop");
    session.publisher.enter(State::Connected);
    let listed = sessions(&fixture.folder).await.unwrap();
    assert_eq!(listed, [session.publisher.status()]);

    let id = session.id.clone();
    session.server.end().await;
    assert!(sessions(&fixture.folder).await.unwrap().is_empty());
    assert!(matches!(
        Client::connect(&fixture.folder, &id).await,
        Err(Error::NoSession(_))
    ));
    assert_eq!(fs::read_dir(fixture.folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_session_that_reconnects_stays_the_oldest() {
    let fixture = Fixture::new();
    let older = fixture.session("older");
    let younger = fixture.session("younger");
    younger.publisher.enter(State::Connected);
    older.publisher.enter(State::Reconnecting);
    let listed = sessions(&fixture.folder).await.unwrap();
    let ids: Vec<_> = listed.iter().map(|status| &status.id).collect();
    assert_eq!(ids, [&older.id, &younger.id]);
}

#[tokio::test]
async fn the_socket_is_for_its_user_alone() {
    let fixture = Fixture::new();
    let session = fixture.session("shop");
    let mode = fs::metadata(fixture.folder.socket(&session.id))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn another_user_is_turned_away_even_where_every_mode_is_open() {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: needs root to be another user");
        return;
    }
    let fixture = Fixture::new();
    let session = fixture.session("shop");
    let socket = fixture.folder.socket(&session.id);
    for folder in [fixture.folder.path(), fixture.folder.path().parent().unwrap()] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).unwrap();
    let greeting = |uid| greeting_as(uid, &socket);
    // The same client, as this user, is greeted: it is the user that is refused.
    assert!(greeting(0).await.contains("slipway_control"));
    assert_eq!(greeting(65_534).await, "connected\n");
}

#[tokio::test]
async fn a_session_that_is_dropped_leaves_no_socket() {
    let fixture = Fixture::new();
    let session = fixture.session("shop");
    let socket = fixture.folder.socket(&session.id);
    assert!(socket.exists());
    drop(session);
    assert!(!socket.exists());
}

#[tokio::test]
async fn the_socket_of_a_killed_session_is_removed_by_who_finds_it() {
    let fixture = Fixture::new();
    let stale = fixture.folder.path().join("shop-dead00.sock");
    drop(UnixListener::bind(&stale).unwrap());
    assert!(stale.exists());
    assert!(sessions(&fixture.folder).await.unwrap().is_empty());
    assert!(!stale.exists());
}

#[tokio::test]
async fn a_session_that_hangs_hides_no_other_and_costs_a_second() {
    let fixture = Fixture::new();
    let session = fixture.session("shop");
    let _hanging = UnixListener::bind(fixture.folder.path().join("hangs-000000.sock")).unwrap();
    let _too = UnixListener::bind(fixture.folder.path().join("hangs-000001.sock")).unwrap();
    let began = Instant::now();
    let listed = sessions(&fixture.folder).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].id, session.id);
    assert!(
        began.elapsed() < Duration::from_millis(1_900),
        "asked one after the other: {:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn a_watch_brings_the_present_state_and_every_change_and_name() {
    let fixture = Fixture::new();
    let session = fixture.session("shop");
    let mut watch = fixture.client(&session).await.watch(EVERYTHING).await.unwrap();
    assert_eq!(next_status(&mut watch).await.state, State::Preparing);

    let problem = Problem::new("net-away", "The network is away.", "Wait for it.");
    let source = session.publisher.problem_source();
    source.set([problem.clone()]);
    assert_eq!(next_status(&mut watch).await.problems, [problem]);
    session.publisher.enter(State::Reconnecting);
    assert_eq!(next_status(&mut watch).await.state, State::Reconnecting);

    session.publisher.name(name_event("orders"));
    let event = timeout(LIMIT, watch.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(event, WatchEvent::Name(Box::new(name_event("orders"))));

    session.publisher.enter(State::Ended);
    session.server.end().await;
    assert_eq!(next_status(&mut watch).await.state, State::Ended);
    assert_eq!(timeout(LIMIT, watch.next()).await.unwrap().unwrap(), None);
}

#[tokio::test]
async fn a_watch_is_woken_by_what_it_subscribed_to() {
    let fixture = Fixture::new();
    let session = fixture.session("shop");
    let publisher = &session.publisher;
    let plain = fixture.client(&session).await;
    let mut plain = plain.watch(Subscription::default()).await.unwrap();
    next_status(&mut plain).await;
    assert!(!publisher.names_are_watched());
    let failed = Subscription {
        names: WatchedNames::Failed,
        figures: true,
    };
    let mut failed = fixture.client(&session).await.watch(failed).await.unwrap();
    next_status(&mut failed).await;
    assert!(publisher.names_are_watched());

    let health = Health {
        rtt_ms: 12,
        ..Health::default()
    };
    publisher.update(|status| status.health = Some(health));
    assert_eq!(next_status(&mut failed).await.health, Some(health));
    publisher.name(name_event("found"));
    let nowhere = NameEvent {
        problem: Some(Problem::new("name-not-found", "Nobody knows it.", "Check it.")),
        ..name_event("nowhere")
    };
    publisher.name(nowhere.clone());
    let event = timeout(LIMIT, failed.next()).await.unwrap().unwrap();
    assert_eq!(event, Some(WatchEvent::Name(Box::new(nowhere))));

    // The next that the plain watch hears of is the change of state: neither figures nor names woke it.
    publisher.enter(State::Connected);
    let status = next_status(&mut plain).await;
    assert_eq!((status.state, status.health), (State::Connected, None));
}

#[tokio::test]
async fn a_change_of_state_sets_its_time_and_no_change_wakes_nobody() {
    let fixture = Fixture::new();
    let session = fixture.session("shop");
    let mut watch = fixture.client(&session).await.watch(EVERYTHING).await.unwrap();
    let before = next_status(&mut watch).await;
    session.publisher.update(|status| status.step = None);
    session.publisher.enter(State::Placing);
    let after = next_status(&mut watch).await;
    assert_eq!(after.state, State::Placing);
    assert!(after.since > before.since);
    assert_eq!(after.started, before.started);
}

#[tokio::test]
async fn disconnecting_waits_until_the_session_is_gone() {
    let fixture = Fixture::new();
    let session = fixture.session("shop");
    let client = fixture.client(&session).await;
    let id = session.id.clone();
    let ending = tokio::spawn(session.end_when_asked());
    let last = timeout(LIMIT, client.disconnect())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert_eq!(last.state, State::Ended);
    assert!(!fixture.folder.socket(&id).exists());
    ending.await.unwrap();
}

#[tokio::test]
async fn a_name_is_explained_by_the_session() {
    let fixture = Fixture::new();
    let session = fixture.session("shop");
    let mut client = fixture.client(&session).await;
    let explanation = client.explain("orders").await.unwrap();
    assert_eq!(explanation, explain("orders"));
    // The connection is still good for the next question.
    assert_eq!(client.status().await.unwrap().id, session.id);
}

#[tokio::test]
async fn logs_are_kept_and_can_be_followed() {
    let fixture = Fixture::new();
    let session = fixture.session("shop");
    session.publisher.logs().push("one");
    session.publisher.logs().push("two");
    let mut lines = Vec::new();
    fixture
        .client(&session)
        .await
        .logs(false, |line| lines.push(line.to_owned()))
        .await
        .unwrap();
    assert_eq!(lines, ["one", "two"]);

    let client = fixture.client(&session).await;
    let (seen, mut lines) = tokio::sync::mpsc::unbounded_channel();
    let following = tokio::spawn(client.logs(true, move |line| seen.send(line.to_owned()).unwrap()));
    for expected in ["one", "two"] {
        assert_eq!(timeout(LIMIT, lines.recv()).await.unwrap().unwrap(), expected);
    }
    session.publisher.logs().push("three");
    assert_eq!(timeout(LIMIT, lines.recv()).await.unwrap().unwrap(), "three");
    session.server.end().await;
    timeout(LIMIT, following).await.unwrap().unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_command_is_answered_and_the_connection_goes_on() {
    let fixture = Fixture::new();
    let session = fixture.session("shop");
    let replies = tokio::task::block_in_place(|| {
        let mut raw = RawClient::connect(&fixture.folder, &session.id);
        assert_eq!(raw.read()["slipway_control"], PROTOCOL_VERSION);
        [r#"{"do":"fly"}"#, "not json", r#"{"do":"status"}"#].map(|line| raw.ask(line))
    });
    assert_eq!(replies[0]["value"]["code"], "control-unknown-command");
    assert_eq!(replies[1]["value"]["code"], "control-unknown-command");
    assert_eq!(replies[2]["value"]["id"], session.id.as_str());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endless_line_is_refused_and_the_session_lives_on() {
    let fixture = Fixture::new();
    let session = fixture.session("shop");
    let reply = tokio::task::block_in_place(|| {
        let mut raw = RawClient::connect(&fixture.folder, &session.id);
        raw.read();
        // The session may hang up before all of it is written.
        let _ = raw
            .write
            .write_all(&vec![b'x'; slipway_control::MAX_LINE_BYTES + 2]);
        raw.read()
    });
    assert_eq!(reply["value"]["code"], "control-line-too-long");
    assert_eq!(
        fixture.client(&session).await.status().await.unwrap().id,
        session.id
    );
}

#[tokio::test]
async fn a_session_of_another_version_is_named_as_such() {
    let fixture = Fixture::new();
    let id: SessionId = "future-000000".parse().unwrap();
    let listener = UnixListener::bind(fixture.folder.socket(&id)).unwrap();
    let future = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream
            .write_all(b"{\"slipway_control\":99,\"id\":\"future-000000\"}\n")
            .unwrap();
    });
    let refused = Client::connect(&fixture.folder, &id).await;
    assert!(matches!(refused, Err(Error::Version { found: 99, .. })));
    future.join().unwrap();
}

#[tokio::test]
async fn the_watcher_sees_sessions_come_change_and_go() {
    let fixture = Fixture::new();
    let old = fixture.session("old");
    let mut watcher = Watcher::start(fixture.folder.clone(), EVERYTHING).unwrap();
    let first = next_picture(&mut watcher).await;
    assert_eq!(first.sessions.keys().collect::<Vec<_>>(), [&old.id]);

    let new = fixture.session("new");
    let picture = next_picture(&mut watcher).await;
    assert_eq!(picture.sessions.len(), 2);

    new.publisher.enter(State::Connected);
    let picture = next_picture(&mut watcher).await;
    assert_eq!(picture.sessions[&new.id].state, State::Connected);

    new.publisher.name(name_event("orders"));
    let picture = next_picture(&mut watcher).await;
    assert_eq!(picture.names, [(new.id.clone(), name_event("orders"))]);

    let problem = Problem::new("kaputt", "It broke.", "Mend it.");
    new.publisher.update(|status| {
        status.state = State::Ended;
        status.failure = Some(problem.clone());
    });
    let picture = next_picture(&mut watcher).await;
    assert_eq!(picture.sessions[&new.id].state, State::Ended);
    new.server.end().await;
    let picture = next_picture(&mut watcher).await;
    assert_eq!(picture.sessions.keys().collect::<Vec<_>>(), [&old.id]);
    assert_eq!(picture.gone.len(), 1);
    assert_eq!(picture.gone[0].failure, Some(problem));
}

#[tokio::test]
async fn the_first_picture_of_an_empty_folder_is_empty() {
    let fixture = Fixture::new();
    let mut watcher = Watcher::start(fixture.folder.clone(), EVERYTHING).unwrap();
    assert_eq!(next_picture(&mut watcher).await, Picture::default());
}

#[tokio::test]
async fn the_watcher_survives_the_loss_of_its_folder() {
    let fixture = Fixture::new();
    let mut watcher = Watcher::start(fixture.folder.clone(), EVERYTHING).unwrap();
    next_picture(&mut watcher).await;
    fs::remove_dir(fixture.folder.path()).unwrap();
    let session = fixture.session("shop");
    let picture = next_picture(&mut watcher).await;
    assert!(picture.sessions.contains_key(&session.id));
}

#[tokio::test]
async fn two_sessions_cannot_have_one_id() {
    let fixture = Fixture::new();
    let session = fixture.session("shop");
    let status = status_of_this_process(session.id.clone(), None, Method::VpnTcp);
    let second = Server::bind(&fixture.folder, status, LogRing::new(), Scripted::default());
    assert!(matches!(second, Err(Error::Io { .. })));
    assert_eq!(
        fixture.client(&session).await.status().await.unwrap().id,
        session.id
    );
}

struct Fixture {
    folder: RuntimeFolder,
    _dir: TempDir,
}

struct Session {
    id: SessionId,
    server: Server,
    publisher: Publisher,
    asked_to_end: Arc<Notify>,
}

#[derive(Default)]
struct Scripted {
    asked_to_end: Arc<Notify>,
}

impl Handler for Scripted {
    fn disconnect(&self) {
        self.asked_to_end.notify_one();
    }

    async fn explain(&self, name: &str) -> Explanation {
        explain(name)
    }
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self {
            folder: RuntimeFolder::at(dir.path().join("slipway")).unwrap(),
            _dir: dir,
        }
    }

    fn session(&self, name: &str) -> Session {
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

    async fn client(&self, session: &Session) -> Client {
        Client::connect(&self.folder, &session.id).await.unwrap()
    }
}

impl Session {
    async fn end_when_asked(self) {
        self.asked_to_end.notified().await;
        self.publisher.enter(State::Ending);
        self.publisher.enter(State::Ended);
        self.server.end().await;
    }
}

struct RawClient {
    read: BufReader<UnixStream>,
    write: UnixStream,
}

impl RawClient {
    fn connect(folder: &RuntimeFolder, id: &SessionId) -> Self {
        let write = UnixStream::connect(folder.socket(id)).unwrap();
        write.set_read_timeout(Some(LIMIT)).unwrap();
        Self {
            read: BufReader::new(write.try_clone().unwrap()),
            write,
        }
    }

    fn ask(&mut self, line: &str) -> serde_json::Value {
        self.write.write_all(line.as_bytes()).unwrap();
        self.write.write_all(b"\n").unwrap();
        self.read()
    }

    fn read(&mut self) -> serde_json::Value {
        let mut line = String::new();
        self.read.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

/// What a process of user `uid` reads from the socket, after "connected".
async fn greeting_as(uid: u32, socket: &std::path::Path) -> String {
    const CLIENT: &str = r#"
        use Socket; $| = 1; alarm 20;
        socket(my $s, PF_UNIX, SOCK_STREAM, 0) or die $!;
        connect($s, pack_sockaddr_un($ARGV[0])) or die $!;
        print "connected\n"; my $line = <$s>; print $line if defined $line;
    "#;
    let child = tokio::process::Command::new("perl")
        .args(["-e", CLIENT])
        .arg(socket)
        .uid(uid)
        .current_dir("/")
        .kill_on_drop(true)
        .output();
    let output = timeout(LIMIT, child).await.unwrap().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

async fn next_status(watch: &mut slipway_control::Watch) -> SessionStatus {
    match timeout(LIMIT, watch.next()).await.unwrap().unwrap() {
        Some(WatchEvent::Status(status)) => *status,
        other => panic!("expected a status, got {other:?}"),
    }
}

async fn next_picture(watcher: &mut Watcher) -> Picture {
    timeout(LIMIT, watcher.next()).await.unwrap().unwrap()
}

fn explain(name: &str) -> Explanation {
    Explanation {
        name: name.into(),
        answered_by: Answerer::Cluster,
        answer: vec!["10.96.0.7".into()],
        cause: format!("There is a service {name} in namespace shop."),
        remedy: None,
        steps: vec!["shop.svc.cluster.local".into()],
    }
}

fn name_event(name: &str) -> NameEvent {
    NameEvent {
        at: Timestamp::UNIX_EPOCH,
        name: name.into(),
        kind: "A".into(),
        program: Some("curl".into()),
        answer: vec!["10.96.0.7".into()],
        answered_by: Answerer::Cluster,
        took_ms: 3,
        problem: None,
    }
}
