//! A peer that accepts a connection, and then sends or reads nothing: each wait for it ends in time, with its error.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "in a test's helper a failure is the test's"
)]

use std::io;
use std::time::Duration;

use slipway_control::{
    Client, DISCONNECT_LIMIT, Error, Handler, LogRing, Publisher, RuntimeFolder, Server, Watcher, fresh_id,
    status_of_this_process,
};
use slipway_control_api::{Changed, Explanation, PROTOCOL_VERSION, Problem, SessionId, Subscription};
use slipway_profile::{Change, Method};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Tolerance of the measured waits. The paused clock stands still while a task runs.
const SOON: Duration = Duration::from_millis(100);

#[tokio::test(start_paused = true)]
async fn each_request_to_a_silent_session_times_out() {
    let place = Place::new();
    let _session = place.silent_session();
    let id = place.id.clone();

    let (waited, error) = wait(async { place.client().await.status().await.map(drop) }).await;
    given_up(&id, error, "report its status", Duration::from_secs(1), waited);
    let (waited, error) = wait(async { place.client().await.request_disconnect().await }).await;
    given_up(
        &id,
        error,
        "accept the request to end",
        Duration::from_secs(1),
        waited,
    );
    let (waited, error) = wait(async {
        place
            .client()
            .await
            .watch(Subscription::default())
            .await
            .map(drop)
    })
    .await;
    given_up(&id, error, "report its status", Duration::from_secs(1), waited);
    let (waited, error) = wait(async { place.client().await.logs(false, |_| ()).await }).await;
    given_up(&id, error, "send its log", Duration::from_secs(1), waited);
    let (waited, error) = wait(async { place.client().await.explain("web").await.map(drop) }).await;
    given_up(&id, error, "explain the name", Duration::from_secs(20), waited);
    let (waited, error) = wait(async { place.client().await.undo(None).await.map(drop) }).await;
    given_up(&id, error, "make the change", Duration::from_secs(20), waited);
    let (waited, error) = wait(async { place.client().await.history().await.map(drop) }).await;
    given_up(&id, error, "report its history", Duration::from_secs(1), waited);
    let (waited, error) = wait(async { place.client().await.disconnect().await.map(drop) }).await;
    given_up(&id, error, "end", DISCONNECT_LIMIT, waited);
}

#[tokio::test(start_paused = true)]
async fn a_silent_session_does_not_block_the_first_snapshot() {
    let place = Place::new();
    let _session = place.silent_session();
    let mut watcher = Watcher::start(place.folder.clone(), Subscription::default()).unwrap();
    let began = Instant::now();
    let snapshot = watcher.next().await.unwrap();
    assert!(snapshot.sessions.is_empty(), "{snapshot:?}");
    // One second for its answer, and one more for the second attempt.
    assert!(
        began.elapsed() < Duration::from_secs(2) + SOON,
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_client_that_asks_nothing_is_disconnected() {
    let place = Place::new();
    let (_server, _publisher) = place.session();
    let mut client = place.raw_client().await;
    let began = Instant::now();
    let mut rest = String::new();
    client.read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest, "");
    let waited = began.elapsed();
    assert!(
        waited >= Duration::from_secs(30) && waited < Duration::from_secs(30) + SOON,
        "{waited:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_is_disconnected() {
    let place = Place::new();
    let (_server, _publisher) = place.session();
    let mut client = place.raw_client().await;
    let full = fill(&mut client).await;
    // Longer than the limit for a write, shorter than the limit for a request.
    tokio::time::sleep(Duration::from_secs(5) + SOON).await;
    let since = Instant::now();
    drain(&mut client).await;
    assert!(
        since.elapsed() < SOON,
        "it was still served after {:?}",
        full.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_does_not_block_the_end() {
    let place = Place::new();
    let (server, _publisher) = place.session();
    let mut client = place.raw_client().await;
    fill(&mut client).await;
    let began = Instant::now();
    server.end().await;
    let waited = began.elapsed();
    assert!(waited <= Duration::from_secs(1) + SOON, "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_late_explanation_is_refused_with_a_code() {
    let place = Place::new();
    let (_server, _publisher) = place.session();
    let (waited, error) = wait(async { place.client().await.explain("web").await.map(drop) }).await;
    let Error::Refused(problem) = error else {
        panic!("{error}")
    };
    assert_eq!(problem.code, "control-explain-timed-out");
    assert!(
        waited >= Duration::from_secs(15) && waited < Duration::from_secs(15) + SOON,
        "{waited:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_late_change_is_refused_with_a_code() {
    let place = Place::new();
    let (_server, _publisher) = place.session();
    let change = async { place.client().await.change(Change::default()).await.map(drop) };
    let undo = async { place.client().await.undo(None).await.map(drop) };
    for (waited, error) in [wait(change).await, wait(undo).await] {
        let Error::Refused(problem) = error else {
            panic!("{error}")
        };
        assert_eq!(problem.code, "control-change-timed-out");
        assert!(
            waited >= Duration::from_secs(15) && waited < Duration::from_secs(15) + SOON,
            "{waited:?}"
        );
    }
}

async fn wait(asked: impl Future<Output = Result<(), Error>>) -> (Duration, Error) {
    let began = Instant::now();
    let error = asked.await.unwrap_err();
    (began.elapsed(), error)
}

fn given_up(id: &SessionId, error: Error, expected: &str, limit: Duration, waited: Duration) {
    let Error::TimedOut {
        id: whose,
        what,
        seconds,
    } = error
    else {
        panic!("{error}")
    };
    assert_eq!((&whose, what, seconds), (id, expected, limit.as_secs()));
    assert!(waited >= limit && waited < limit + SOON, "{what}: {waited:?}");
}

/// Asks without reading, until the session can neither write its answers nor read more questions. Returns the time.
async fn fill(client: &mut BufReader<UnixStream>) -> Instant {
    loop {
        match client.get_ref().try_write(b"{\"do\":\"status\"}\n") {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                // The session may still read.
                for _ in 0..64 {
                    tokio::task::yield_now().await;
                }
                if client.get_ref().try_write(b"\n").is_err() {
                    return Instant::now();
                }
            }
            Err(error) => panic!("{error}"),
        }
        tokio::task::yield_now().await;
    }
}

/// Reads until the session closes.
async fn drain(client: &mut BufReader<UnixStream>) {
    let mut bytes = [0; 4096];
    while !matches!(client.read(&mut bytes).await, Ok(0) | Err(_)) {}
}

struct Place {
    folder: RuntimeFolder,
    id: SessionId,
    _dir: TempDir,
}

struct Speechless;

impl Handler for Speechless {
    async fn answer(&self, query: Vec<u8>) -> Option<Vec<u8>> {
        let _ = query;
        None
    }

    fn disconnect(&self) {}

    async fn explain(&self, _: &str) -> Explanation {
        std::future::pending().await
    }

    async fn change(&self, _: Change) -> Result<Changed, Problem> {
        std::future::pending().await
    }

    async fn saved(&self, _: Option<u32>, _: Change) -> Result<Changed, Problem> {
        std::future::pending().await
    }

    async fn undo(&self, _: Option<u32>) -> Result<Changed, Problem> {
        std::future::pending().await
    }
}

impl Place {
    fn new() -> Place {
        let dir = tempfile::tempdir().unwrap();
        Place {
            folder: RuntimeFolder::at(dir.path().join("slipway")).unwrap(),
            id: fresh_id("shop"),
            _dir: dir,
        }
    }

    fn session(&self) -> (Server, Publisher) {
        let initial = status_of_this_process(self.id.clone(), None, Method::VpnTcp);
        Server::bind(&self.folder, initial, LogRing::new(), Speechless).unwrap()
    }

    /// A session that greets every client, and sends nothing else.
    fn silent_session(&self) -> JoinSet<()> {
        let listener = UnixListener::bind(self.folder.socket(&self.id)).unwrap();
        let greeting = format!(
            "{{\"slipway_control\":{PROTOCOL_VERSION},\"id\":\"{}\"}}\n",
            self.id
        );
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut held = Vec::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                // A client that only checks for a server is gone already.
                if stream.write_all(greeting.as_bytes()).await.is_ok() {
                    held.push(stream);
                }
            }
        });
        tasks
    }

    async fn client(&self) -> Client {
        Client::connect(&self.folder, &self.id).await.unwrap()
    }

    /// Opens a connection and reads the greeting.
    async fn raw_client(&self) -> BufReader<UnixStream> {
        let stream = UnixStream::connect(self.folder.socket(&self.id)).await.unwrap();
        let mut client = BufReader::new(stream);
        let mut greeting = String::new();
        client.read_line(&mut greeting).await.unwrap();
        assert!(greeting.contains("slipway_control"), "{greeting}");
        client
    }
}
