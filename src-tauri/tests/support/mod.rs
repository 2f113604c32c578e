//! Support for the tests of the actor and the tray: a user's folders, and a false `slipway` whose sessions use the real
//! control protocol.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use slipway_control::{Handler, LogRing, Publisher, RuntimeFolder, Server, fresh_id, status_of_this_process};
use slipway_control_api::{Answerer, Changed, Explanation, Found, Problem, Progress, SessionStatus, State};
use slipway_profile::{Change, Method, Profile, Store};
use tempfile::TempDir;
use tokio::sync::mpsc;

/// Limit of each step, far longer than any step takes.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// The profile that the false `slipway` is not allowed to connect.
pub(crate) const FORBIDDEN: &str = "forbidden";

/// Contexts that the false `slipway` lists.
const CONTEXTS: &str = r#"[{"name":"kind-dev","cluster":"kind","current":true},{"name":"staging","cluster":"staging","current":false}]"#;
/// Environment variable with the arguments of the false `slipway`.
const ARGUMENTS: &str = "FALSE_SLIPWAY_ARGUMENTS";
/// Environment variable that marks the process of a false session.
const SESSION: &str = "FALSE_SLIPWAY_SESSION";

/// A user with a temporary home, settings and runtime folder.
pub(crate) struct User {
    dir: TempDir,
}

impl User {
    pub(crate) fn new() -> Self {
        let user = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        for folder in [user.home(), user.runtime_dir()] {
            fs::create_dir(&folder).unwrap();
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
        }
        user
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    pub(crate) fn runtime_dir(&self) -> PathBuf {
        self.dir.path().join("run")
    }

    pub(crate) fn store(&self) -> Store {
        Store::at(self.home().join(".config/slipway/profiles"))
    }

    pub(crate) fn save(&self, name: &str) {
        self.store().save(&Profile::new(name.parse().unwrap())).unwrap();
    }

    pub(crate) fn folder(&self) -> RuntimeFolder {
        RuntimeFolder::at(self.runtime_dir().join("slipway")).unwrap()
    }

    /// Makes a script that runs the test `false_slipway` of this test binary as `slipway`.
    pub(crate) fn program(&self) -> PathBuf {
        // The test harness writes to standard output, so the script itself must print the list.
        let script = format!(
            "#!/bin/sh\n\
             if [ \"$*\" = 'list contexts --json' ]; then echo '{CONTEXTS}'; exit; fi\n\
             XDG_RUNTIME_DIR='{}' {ARGUMENTS}=\"$*\" exec '{}' --exact false_slipway --nocapture\n",
            self.runtime_dir().display(),
            std::env::current_exe().unwrap().display(),
        );
        self.script(&script)
    }

    /// Writes a script and returns its path.
    pub(crate) fn script(&self, text: &str) -> PathBuf {
        let path = self.dir.path().join("slipway");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// Serves a session as from a terminal, controlled by the test.
    pub(crate) fn session(&self, profile: Option<&str>, context: &str) -> Session {
        let id = fresh_id(profile.unwrap_or(context));
        let mut status = status_of_this_process(id, profile.map(Into::into), Method::VpnTcp);
        status.context = Some(context.into());
        Session::serve(&self.folder(), status)
    }
}

/// A session with the real control protocol.
pub(crate) struct Session {
    pub(crate) server: Server,
    pub(crate) publisher: Publisher,
    pub(crate) disconnects: mpsc::UnboundedReceiver<()>,
}

impl Session {
    fn serve(folder: &RuntimeFolder, status: SessionStatus) -> Self {
        let (asked, disconnects) = mpsc::unbounded_channel();
        let (server, publisher) = Server::bind(folder, status, LogRing::new(), Asked(asked)).unwrap();
        Self {
            server,
            publisher,
            disconnects,
        }
    }

    pub(crate) async fn end(self, problem: Option<Problem>) {
        self.publisher.update(|status| {
            status.state = State::Ended;
            status.failure = problem;
        });
        self.server.end().await;
    }
}

struct Asked(mpsc::UnboundedSender<()>);

impl Handler for Asked {
    async fn answer(&self, query: Vec<u8>) -> Option<Vec<u8>> {
        let _ = query;
        None
    }

    fn disconnect(&self) {
        let _ = self.0.send(());
    }

    async fn explain(&self, name: &str) -> Explanation {
        Explanation {
            name: name.into(),
            answered_by: Answerer::Nobody,
            answer: Vec::new(),
            programs: None,
            port: None,
            backing: None,
            found: Found::NotConnected,
        }
    }

    async fn change(&self, change: Change) -> Result<Changed, Problem> {
        Ok(Changed {
            number: Some(1),
            change,
            profile: None,
            hosts: Vec::new(),
            problems: Vec::new(),
        })
    }

    async fn saved(&self, number: Option<u32>, _: Change) -> Result<Changed, Problem> {
        Err(Problem::new(
            "nothing-to-undo",
            format!("there is no change {number:?}"),
            "",
        ))
    }

    async fn undo(&self, _: Option<u32>) -> Result<Changed, Problem> {
        Err(Problem::new("nothing-to-undo", "nothing was changed", ""))
    }
}

/// Acts as `slipway` if this process was started as one. Its sessions run in separate processes, like real ones, and end
/// on request.
#[expect(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "it acts as a program, which prints"
)]
pub(crate) fn play_slipway() {
    if let Ok(profile) = std::env::var(SESSION) {
        play_session(&profile);
        std::process::exit(0);
    }
    let Ok(arguments) = std::env::var(ARGUMENTS) else {
        return;
    };
    let code = match arguments.split(' ').collect::<Vec<_>>().as_slice() {
        ["connect", "--detach", "--json", FORBIDDEN] => {
            let problem = Problem::new(
                "rbac-pods",
                "Your account may not create pods in shop.",
                "Ask for a Role.",
            );
            // The test harness may have started a line.
            println!("\n{}", serde_json::to_string(&Progress::Failed(problem)).unwrap());
            255
        }
        ["connect", "--detach", "--json", name] => detach_session(name),
        other => {
            eprintln!("slipway: the false slipway does not know {other:?}");
            2
        }
    };
    std::process::exit(code);
}

/// Starts the session's process and waits until its socket exists.
#[expect(
    clippy::zombie_processes,
    reason = "the session outlives its starter, as the real one does"
)]
fn detach_session(profile: &str) -> i32 {
    let folder = RuntimeFolder::of_user().unwrap();
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "false_slipway"])
        .env(SESSION, profile)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let began = Instant::now();
    while began.elapsed() < LIMIT {
        if sockets(folder.path())
            .iter()
            .any(|socket| socket.contains(profile))
        {
            return 0;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    1
}

fn play_session(profile: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let folder = RuntimeFolder::of_user().unwrap();
        let status = status_of_this_process(fresh_id(profile), Some(profile.into()), Method::VpnTcp);
        let mut session = Session::serve(&folder, status);
        for state in [State::Placing, State::Connecting, State::Connected] {
            session.publisher.enter(state);
        }
        // After a failed test no program asks the session to end, so it ends by itself.
        let _ = tokio::time::timeout(LIMIT * 2, session.disconnects.recv()).await;
        session.publisher.enter(State::Ending);
        session.end(None).await;
    });
}

fn sockets(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap();
    names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|n| n.ends_with(".sock"))
        .collect()
}
