//! Sessions and clients over real sockets in a temporary folder.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "in a test's helper a failure is the test's"
)]

mod fixture;
mod watching;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use slipway_control::{Client, Error, LogRing, RuntimeFolder, Server, sessions, status_of_this_process};
use slipway_control_api::{Happening, PROTOCOL_VERSION, SessionId, State};
use slipway_profile::{Change, Extras, Method};
use tokio::time::timeout;

use crate::fixture::{Fixture, Scripted, changed, explain};

/// Limit of each step, far longer than any step takes.
const LIMIT: Duration = Duration::from_secs(20);

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
async fn changes_and_the_history_cross_the_socket() {
    let fixture = Fixture::new();
    let session = fixture.session("shop");
    session
        .publisher
        .enter_because(State::Reconnecting, Some("The carrier ended.".into()));
    session.publisher.second();
    let mut client = fixture.client(&session).await;
    let wanted = Change {
        add: Extras {
            also_proxy: vec!["db.example".parse().unwrap()],
            ..Extras::default()
        },
        ..Change::default()
    };
    let outcome = client.change(wanted.clone()).await.unwrap();
    assert_eq!(outcome, changed(wanted.clone(), None));
    let saved = client.saved(Some(1), wanted.clone()).await.unwrap();
    assert_eq!(saved, changed(Change::default(), Some(wanted)));
    let Err(Error::Refused(problem)) = client.undo(Some(7)).await else {
        panic!("there is nothing to undo")
    };
    assert_eq!(problem.code, "nothing-to-undo");
    let history = client.history().await.unwrap();
    let states: Vec<_> = history.events.iter().map(|event| &event.what).collect();
    let cause = Some("The carrier ended.".to_owned());
    let reconnecting = Happening::State {
        state: State::Reconnecting,
        cause,
    };
    assert_eq!(states.last(), Some(&&reconnecting), "{states:?}");
    assert_eq!(history.minutes[0].away, 1);
}

#[tokio::test]
async fn only_the_user_may_use_the_socket() {
    let fixture = Fixture::new();
    let session = fixture.session("shop");
    let mode = fs::metadata(fixture.folder.socket(&session.id))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
#[ignore = "needs root"]
async fn another_user_is_refused_although_the_mode_is_open() {
    let fixture = Fixture::new();
    let session = fixture.session("shop");
    let socket = fixture.folder.socket(&session.id);
    for folder in [fixture.folder.path(), fixture.folder.path().parent().unwrap()] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o666)).unwrap();
    let greeting = |uid| greeting_as(uid, &socket);
    // The same client is greeted as this user, so the refusal is about the user.
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
async fn a_client_removes_the_socket_of_a_killed_session() {
    let fixture = Fixture::new();
    let stale = fixture.folder.path().join("shop-dead00.sock");
    drop(UnixListener::bind(&stale).unwrap());
    assert!(stale.exists());
    assert!(sessions(&fixture.folder).await.unwrap().is_empty());
    assert!(!stale.exists());
}

#[tokio::test]
async fn a_hanging_session_hides_no_other_and_takes_a_second() {
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
    // The connection still works for the next question.
    assert_eq!(client.status().await.unwrap().id, session.id);
}

#[tokio::test]
async fn a_question_of_another_session_is_answered() {
    let fixture = Fixture::new();
    let session = fixture.session("shop");
    let mut client = fixture.client(&session).await;
    assert_eq!(client.answer(b"known").await.unwrap().unwrap(), b"answer");
    assert_eq!(client.answer(b"unknown").await.unwrap(), None);
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
async fn an_unknown_command_does_not_end_the_connection() {
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
async fn an_endless_line_is_refused_and_the_session_goes_on() {
    let fixture = Fixture::new();
    let session = fixture.session("shop");
    let reply = tokio::task::block_in_place(|| {
        let mut raw = RawClient::connect(&fixture.folder, &session.id);
        raw.read();
        // The session may close the connection before the whole line is written.
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
async fn a_session_of_another_version_is_an_error() {
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

/// Returns what a process of user `uid` reads from the socket, after "connected".
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
