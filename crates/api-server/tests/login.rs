//! Logins to a server that counts requests and accepts one token at a time.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use secrecy::SecretString;
use slipway_api_server::kubeconfig::{Choice, ConnectError, NamedServer, Sources, choose};
use slipway_api_server::{Target, TokenSource};
use slipway_problem::{Fault, Problem};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Limit of each wait.
const PATIENCE: Duration = Duration::from_secs(20);

/// An API server that knows `/version`.
struct Server {
    url: String,
    state: Arc<Mutex<State>>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct State {
    accepted: String,
    requests: usize,
}

impl Server {
    async fn start(accepted: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State {
            accepted: accepted.to_owned(),
            requests: 0,
        }));
        let mut tasks = JoinSet::new();
        let served = state.clone();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (connection, _) = listener.accept().await.unwrap();
                connections.spawn(serve(connection, served.clone()));
            }
        });
        Self {
            url,
            state,
            _tasks: tasks,
        }
    }

    fn accept(&self, token: &str) {
        token.clone_into(&mut self.state.lock().unwrap().accepted);
    }

    fn requests(&self) -> usize {
        self.state.lock().unwrap().requests
    }
}

async fn serve(mut connection: TcpStream, state: Arc<Mutex<State>>) {
    let mut head = Vec::new();
    let mut bytes = [0; 4096];
    loop {
        match connection.read(&mut bytes).await {
            Ok(0) | Err(_) => return,
            Ok(read) => head.extend_from_slice(&bytes[..read]),
        }
        if !head.ends_with(b"\r\n\r\n") {
            continue;
        }
        let text = String::from_utf8(std::mem::take(&mut head))
            .unwrap()
            .to_lowercase();
        let fits = {
            let mut state = state.lock().unwrap();
            state.requests += 1;
            text.contains(&format!("authorization: bearer {}\r\n", state.accepted))
        };
        let (status, body) = if fits {
            ("200 OK", VERSION)
        } else {
            ("401 Unauthorized", UNAUTHORIZED)
        };
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 {status}\r\ncontent-length: {length}\r\ncontent-type: application/json\r\n\r\n{body}"
        );
        connection.write_all(answer.as_bytes()).await.unwrap();
    }
}

const VERSION: &str = r#"{"major":"1","minor":"34","gitVersion":"v1.34.4","gitCommit":"","gitTreeState":"","buildDate":"","goVersion":"","compiler":"","platform":"linux/amd64"}"#;
const UNAUTHORIZED: &str = r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"Unauthorized","reason":"Unauthorized","code":401}"#;

/// A kubeconfig and files beside it.
struct Files {
    folder: TempDir,
    server: String,
}

impl Files {
    fn new(server: &Server) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            server: server.url.clone(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn user(&self, user: &str) {
        let server = &self.server;
        self.write(
            "config",
            &format!(
                "current-context: test
clusters: [{{name: test, cluster: {{server: '{server}'}}}}]
contexts: [{{name: test, context: {{cluster: test, user: test}}}}]
users: [{{name: test, user: {user}}}]
"
            ),
        );
    }

    /// A plugin that counts its runs, says `words`, waits, and answers with the token in the file `token`.
    fn plugin(&self, words: &str, more: &str, seconds: f32) {
        let folder = self.folder.path().display();
        self.write(
            "plugin.sh",
            &format!(
                "#!/bin/sh
echo run >> {folder}/runs
echo '{words}' >&2
sleep {seconds}
token=$(cat {folder}/token)
echo '{{\"apiVersion\":\"client.authentication.k8s.io/v1\",\"kind\":\"ExecCredential\",\"status\":{{\"token\":\"'$token'\"{more}}}}}'
"
            ),
        );
        self.user(
            "{exec: {apiVersion: client.authentication.k8s.io/v1, command: sh, args: ['PLUGIN'], interactiveMode: IfAvailable}}"
                .replace("PLUGIN", &self.path("plugin.sh").display().to_string())
                .as_str(),
        );
    }

    fn runs(&self) -> usize {
        std::fs::read_to_string(self.path("runs")).map_or(0, |text| text.lines().count())
    }

    fn target(&self) -> Target {
        let sources = Sources {
            file: Some(self.path("config")),
            ..Sources::default()
        };
        choose(&sources, &Choice::default()).unwrap()
    }
}

async fn probed(target: &Target) -> Result<(), ConnectError> {
    let client = target.client().await?;
    target.probe(&client).await.map(drop)
}

/// Waits until requests succeed again.
async fn comes_back(target: &Target) {
    let client = target.client().await;
    let again = async {
        loop {
            let client = match &client {
                Ok(client) => client.clone(),
                Err(_) => match target.client().await {
                    Ok(client) => client,
                    Err(_) => {
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue;
                    }
                },
            };
            if target.probe(&client).await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(Duration::from_secs(10), again)
        .await
        .expect("the login is noticed within 10 s");
}

#[tokio::test]
async fn a_plugin_runs_once_for_all_clients() {
    let server = Server::start("one").await;
    let files = Files::new(&server);
    files.write("token", "one");
    files.plugin("", "", 0.2);
    let target = files.target();
    let (first, second) = tokio::join!(probed(&target), probed(&target));
    first.unwrap();
    second.unwrap();
    probed(&target).await.unwrap();
    assert_eq!(files.runs(), 1);
}

#[tokio::test]
async fn a_token_that_ends_soon_is_used_until_then() {
    let server = Server::start("one").await;
    let files = Files::new(&server);
    files.write("token", "one");
    files.plugin("", ",\"expirationTimestamp\":\"2020-01-01T00:00:00Z\"", 0.0);
    let target = files.target();
    for _ in 0..15 {
        probed(&target).await.unwrap();
    }
    assert_eq!(files.runs(), 1);
}

#[tokio::test]
async fn a_plugin_is_asked_again_when_its_token_is_refused() {
    let server = Server::start("one").await;
    let files = Files::new(&server);
    files.write("token", "one");
    files.plugin("", "", 0.0);
    let target = files.target();
    let client = target.client().await.unwrap();
    target.probe(&client).await.unwrap();
    files.write("token", "two");
    server.accept("two");
    comes_back(&target).await;
    assert_eq!(files.runs(), 2);
    target.probe(&client).await.unwrap();
    assert_eq!(files.runs(), 2);
}

#[tokio::test]
async fn a_refused_plugin_is_named_and_not_run_again_soon() {
    let server = Server::start("other").await;
    let files = Files::new(&server);
    files.write("token", "one");
    files.plugin("", "", 0.0);
    let target = files.target();
    for _ in 0..5 {
        let error = probed(&target).await.unwrap_err();
        assert_eq!(error.code(), "credentials-refused");
        assert_eq!(error.remedy(), "Log in to the cluster again with sh.");
    }
    assert_eq!((files.runs(), server.requests()), (1, 1));
}

#[tokio::test]
async fn one_refusal_blocks_no_valid_login() {
    let server = Server::start("one").await;
    let files = Files::new(&server);
    files.user("{token: one}");
    let target = files.target();
    probed(&target).await.unwrap();
    server.accept("nothing yet");
    probed(&target).await.unwrap_err();
    server.accept("one");
    let begun = std::time::Instant::now();
    comes_back(&target).await;
    assert!(begun.elapsed() < Duration::from_secs(3));
    assert_eq!(target.login().report().borrow().problem, None);
}

#[tokio::test]
async fn a_new_token_in_the_kubeconfig_is_used() {
    let server = Server::start("one").await;
    let files = Files::new(&server);
    files.user("{token: one}");
    let target = files.target();
    probed(&target).await.unwrap();
    server.accept("two");
    assert_eq!(probed(&target).await.unwrap_err().code(), "credentials-refused");
    files.user("{token: two}");
    comes_back(&target).await;
}

#[tokio::test]
async fn a_new_token_in_a_file_is_used_at_once() {
    let server = Server::start("one").await;
    let files = Files::new(&server);
    let file = files.write("token", "one\n");
    files.user(&format!("{{tokenFile: '{}'}}", file.display()));
    let target = files.target();
    let client = target.client().await.unwrap();
    target.probe(&client).await.unwrap();
    // A refusal within the pause after the last reading is noticed after the pause.
    tokio::time::sleep(Duration::from_secs(7)).await;
    files.write("token", "two\n");
    server.accept("two");
    target.probe(&client).await.unwrap();
}

#[tokio::test]
async fn refused_credentials_are_not_sent_again_and_again() {
    let server = Server::start("one").await;
    let files = Files::new(&server);
    files.user("{token: one}");
    let target = files.target();
    let client = target.client().await.unwrap();
    target.probe(&client).await.unwrap();
    server.accept("two");
    let before = server.requests();
    for _ in 0..40 {
        target.probe(&client).await.unwrap_err();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let sent = server.requests() - before;
    assert!(sent <= 2, "{sent}");
}

#[tokio::test]
async fn a_plugins_words_are_shown_while_it_runs() {
    let server = Server::start("one").await;
    let files = Files::new(&server);
    files.write("token", "one");
    files.plugin("Open https://login.example/device and enter ABCD-1234", "", 3.0);
    let target = files.target();
    let mut report = target.login().report();
    let probe = tokio::spawn({
        let target = target.clone();
        async move { probed(&target).await }
    });
    let words = timeout(PATIENCE, report.wait_for(|report| !report.words.is_empty()))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        words.words,
        ["Open https://login.example/device and enter ABCD-1234"]
    );
    drop(words);
    assert!(!probe.is_finished());
    probe.await.unwrap().unwrap();
    assert!(report.borrow().words.is_empty());
}

#[tokio::test]
async fn a_browser_that_a_plugin_leaves_delays_no_answer() {
    let server = Server::start("one").await;
    let files = Files::new(&server);
    files.write("token", "one");
    files.plugin("", "", 0.0);
    // It has the plugin's standard error, as a browser has, and writes to it later.
    let (script, alive) = (files.path("plugin.sh"), files.path("alive"));
    let browser = format!(
        "(sleep 1; echo opened; echo opened; echo x > {}; exec sleep 400) >&2 &",
        alive.display()
    );
    let text = std::fs::read_to_string(&script).unwrap();
    files.write(
        "plugin.sh",
        &text.replace(
            "token=",
            &format!("{browser}\necho $! > {}.pid\ntoken=", alive.display()),
        ),
    );
    let target = files.target();
    timeout(PATIENCE, probed(&target))
        .await
        .expect("the answer counts")
        .unwrap();
    let pid: i32 = std::fs::read_to_string(files.path("alive.pid"))
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    let writes = async {
        while !alive.exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, writes).await.expect("nothing ends the browser");
    let browser = nix::unistd::Pid::from_raw(pid);
    nix::sys::signal::kill(browser, nix::sys::signal::Signal::SIGKILL).unwrap();
}

#[tokio::test]
async fn last_words_count_although_a_browser_stays() {
    let server = Server::start("one").await;
    let files = Files::new(&server);
    files.plugin("", "", 0.0);
    files.write(
        "plugin.sh",
        "sleep 5 >/dev/null & echo 'the login is over' >&2; exit 3\n",
    );
    let begun = std::time::Instant::now();
    let text = probed(&files.target()).await.unwrap_err().to_string();
    assert!(text.contains("the login is over (exit status: 3)"), "{text}");
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn an_expired_token_says_since_when() {
    let server = Server::start("other").await;
    let files = Files::new(&server);
    // {"exp": 1700000000}
    files.user("{token: e30.eyJleHAiOjE3MDAwMDAwMDB9.c2ln}");
    let text = probed(&files.target()).await.unwrap_err().to_string();
    assert!(
        text.contains("401 Unauthorized; the token expired ") && text.contains(" days ago"),
        "{text}"
    );
}

#[tokio::test]
async fn a_plugin_ends_with_its_login() {
    let server = Server::start("one").await;
    let files = Files::new(&server);
    files.write("token", "one");
    files.plugin("waiting", "", 600.0);
    let target = files.target();
    let mut report = target.login().report();
    let probe = tokio::spawn(async move { probed(&target).await });
    drop(
        timeout(PATIENCE, report.wait_for(|report| !report.words.is_empty()))
            .await
            .unwrap()
            .unwrap(),
    );
    let script = files.path("plugin.sh");
    assert!(runs(&script));
    probe.abort();
    drop(probe.await);
    let gone = async {
        while runs(&script) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, gone).await.expect("the plugin ends");
}

/// Returns whether a process has this argument.
fn runs(argument: &Path) -> bool {
    let argument = argument.to_str().unwrap().as_bytes();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|process| std::fs::read(process.path().join("cmdline")).ok())
        .any(|line| line.split(|byte| *byte == 0).any(|word| word == argument))
}

/// A source whose token is in a file.
#[derive(Debug)]
struct TokenOf(PathBuf);

impl TokenSource for TokenOf {
    fn token(&self) -> BoxFuture<'_, Result<SecretString, Problem>> {
        let read = std::fs::read_to_string(&self.0);
        let token = read.map(SecretString::from);
        ready(token.map_err(|_| Problem::new("secret-missing", "there is no token", "set one"))).boxed()
    }
}

#[tokio::test]
async fn a_source_is_asked_again_when_its_token_is_refused() {
    let server = Server::start("one").await;
    let files = Files::new(&server);
    let named = NamedServer {
        name: "test".to_owned(),
        url: server.url.clone(),
        certificate_authority: None,
        certificate_authority_data: None,
        tls_server_name: None,
        token: Some(Arc::new(TokenOf(files.path("token")))),
    };
    let sources = Sources {
        server: Some(named),
        ..Sources::default()
    };
    let target = choose(&sources, &Choice::default()).unwrap();
    let error = probed(&target).await.unwrap_err();
    assert_eq!(error.code(), "secret-missing");
    assert_eq!(error.remedy(), "Set one.");
    files.write("token", "one\n");
    comes_back(&target).await;
    files.write("token", "two\n");
    server.accept("two");
    comes_back(&target).await;
}
