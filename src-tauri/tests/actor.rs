//! The actor with real profiles, processes and control sockets, but without a tray.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "in a test's helper a failure is the test's"
)]

mod support;

use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use slipway_control_api::{Problem, State};
use slipway_desktop::actor::{self, Surroundings};
use slipway_desktop::{Click, DesktopState, Entry, Glyph, Program, Target, View};
use support::{FORBIDDEN, LIMIT, User};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Acts as `slipway` for the other tests; does nothing by itself.
#[test]
fn false_slipway() {
    support::play_slipway();
}

#[tokio::test]
async fn a_profile_is_connected_and_disconnected() {
    let user = User::new();
    user.save("shop");
    let mut actor = Actor::start(&user, Program::at(user.program()));
    actor
        .until(|view| texts(view).contains(&"Connect shop".into()))
        .await;
    assert_eq!(actor.view().glyph, Glyph::Disconnected);

    actor.click("profile:shop").await;
    let view = actor.until(|view| view.glyph == Glyph::Connected).await;
    assert!(
        texts(&view).contains(&"Disconnect shop (Connected)".into()),
        "{:?}",
        texts(&view)
    );

    actor.click("profile:shop").await;
    let view = actor.until(|view| view.glyph == Glyph::Disconnected).await;
    assert!(
        texts(&view).contains(&"Connect shop".into()),
        "{:?}",
        texts(&view)
    );
}

#[tokio::test]
async fn a_failure_is_shown_below_its_profile_until_dismissed() {
    let user = User::new();
    user.save(FORBIDDEN);
    let mut actor = Actor::start(&user, Program::at(user.program()));
    actor
        .until(|view| texts(view).contains(&format!("Connect {FORBIDDEN}")))
        .await;
    actor.click(&format!("profile:{FORBIDDEN}")).await;
    let view = actor.until(|view| view.glyph == Glyph::Attention).await;
    let texts_then = texts(&view);
    let row = texts_then
        .iter()
        .position(|text| *text == format!("Connect {FORBIDDEN}"))
        .unwrap();
    assert_eq!(
        texts_then[row + 1].trim(),
        "Your account may not create pods in shop."
    );
    assert_eq!(texts_then[row + 2].trim(), "Ask for a Role.");

    actor.click("dismiss").await;
    let view = actor.until(|view| view.glyph == Glyph::Disconnected).await;
    assert!(!texts(&view).iter().any(|text| text.contains("Role")));
}

#[tokio::test]
async fn the_failure_that_a_session_reports_is_shown() {
    let user = User::new();
    user.save("shop");
    let session = user.session(Some("shop"), "staging");
    let mut actor = Actor::start(&user, Program::at(user.program()));
    actor
        .until(|view| texts(view).contains(&"Disconnect shop (Connecting)".into()))
        .await;
    session
        .end(Some(Problem::new(
            "gone",
            "The cluster is gone.",
            "Ask who took it.",
        )))
        .await;
    let view = actor.until(|view| view.glyph == Glyph::Attention).await;
    assert!(
        texts(&view)
            .iter()
            .any(|text| text.trim() == "The cluster is gone."),
        "{:?}",
        texts(&view)
    );
}

#[tokio::test]
async fn sessions_from_a_terminal_appear_change_and_end() {
    let user = User::new();
    user.save("shop");
    let mut actor = Actor::start(&user, Program::at(user.program()));
    actor
        .until(|view| texts(view).contains(&"Connect shop".into()))
        .await;

    let mut session = user.session(None, "prod@eu");
    actor
        .until(|view| texts(view).contains(&"Disconnect prod@eu (Connecting)".into()))
        .await;
    session.publisher.enter(State::Connected);
    actor.until(|view| view.glyph == Glyph::Connected).await;
    session.publisher.enter(State::Reconnecting);
    actor.until(|view| view.glyph == Glyph::Degraded).await;

    let slot = format!("session:{}", session.publisher.status().id);
    actor.click(&slot).await;
    timeout(LIMIT, session.disconnects.recv()).await.unwrap().unwrap();
    session.end(None).await;
    actor.until(|view| view.glyph == Glyph::Disconnected).await;
}

#[tokio::test]
async fn all_are_disconnected_by_one_click() {
    let user = User::new();
    let mut a = user.session(None, "a");
    let mut b = user.session(None, "b");
    let mut actor = Actor::start(&user, Program::at(user.program()));
    actor
        .until(|view| view.menu.item("disconnect-all").is_some())
        .await;
    actor.click("disconnect-all").await;
    timeout(LIMIT, a.disconnects.recv()).await.unwrap().unwrap();
    timeout(LIMIT, b.disconnects.recv()).await.unwrap().unwrap();
}

#[tokio::test]
async fn quitting_ends_no_session() {
    let user = User::new();
    let mut session = user.session(None, "staging");
    let mut actor = Actor::start(&user, Program::at(user.program()));
    actor
        .until(|view| !view.menu.entries.is_empty() && view.glyph == Glyph::Connecting)
        .await;
    actor.click("quit").await;
    timeout(LIMIT, actor.task).await.unwrap().unwrap().unwrap();
    assert!(
        session.disconnects.try_recv().is_err(),
        "the session was asked to end"
    );
    let running = slipway_control::sessions(&user.folder()).await.unwrap();
    assert_eq!(running, [session.publisher.status()]);
}

#[tokio::test]
async fn profiles_that_are_saved_changed_or_deleted_show_at_once() {
    let user = User::new();
    let mut actor = Actor::start(&user, Program::at(user.program()));
    let view = actor
        .until(|view| texts(view).contains(&"Connect kind-dev".into()))
        .await;
    assert!(texts(&view).contains(&"Connect staging".into()));

    user.save("shop");
    let view = actor
        .until(|view| texts(view).contains(&"Connect shop".into()))
        .await;
    assert!(
        !texts(&view).contains(&"Connect staging".into()),
        "contexts are for those without a profile"
    );

    std::fs::write(user.store().folder().join("shop.toml"), "version = 1\nnope = 1\n").unwrap();
    actor
        .until(|view| texts(view).contains(&"shop (cannot be read)".into()))
        .await;

    user.store().delete(&"shop".parse().unwrap()).unwrap();
    actor
        .until(|view| texts(view).contains(&"Connect kind-dev".into()))
        .await;
}

#[tokio::test]
async fn a_missing_slipway_is_a_problem_with_a_remedy() {
    let user = User::new();
    user.save("shop");
    let mut actor = Actor::start(&user, Program::at("/nonexistent/slipway"));
    actor
        .until(|view| texts(view).contains(&"Connect shop".into()))
        .await;
    actor.click("profile:shop").await;
    let view = actor.until(|view| view.glyph == Glyph::Attention).await;
    assert!(
        texts(&view)
            .iter()
            .any(|text| text.contains("/nonexistent/slipway")),
        "{:?}",
        texts(&view)
    );
}

#[tokio::test]
async fn giving_up_while_connecting_is_no_problem() {
    let user = User::new();
    user.save("shop");
    // Each attempt fails when its file `go.N` appears.
    let script = format!(
        "#!/bin/sh\ncd '{}'\necho start >> starts\nn=$(wc -l < starts)\ntouch started.$n\n\
         while [ -e starts -a ! -e go.$n ]; do sleep 0.02; done\n\
         echo '{{\"event\":\"failed\",\"value\":{{\"code\":\"x\",\"cause\":\"Attempt '$n' ended.\",\"remedy\":\"\"}}}}'; \
         touch ended.$n; exit 255\n",
        user.home().display()
    );
    let mut actor = Actor::start(&user, Program::at(user.script(&script)));
    actor
        .until(|view| texts(view).contains(&"Connect shop".into()))
        .await;
    actor.click("profile:shop").await;
    actor
        .until(|view| texts(view).contains(&"shop (Connecting)".into()))
        .await;
    until_exists(&user.home().join("started.1")).await;
    let mut session = user.session(Some("shop"), "staging");
    actor
        .until(|view| texts(view).contains(&"Disconnect shop (Connecting)".into()))
        .await;
    actor.click("profile:shop").await;
    timeout(LIMIT, session.disconnects.recv()).await.unwrap().unwrap();
    session.end(None).await;
    actor
        .until(|view| texts(view).contains(&"Connect shop".into()))
        .await;

    // The first attempt fails while the next one runs: only the failure of the next one is shown.
    actor.click("profile:shop").await;
    actor
        .until(|view| texts(view).contains(&"shop (Connecting)".into()))
        .await;
    until_exists(&user.home().join("started.2")).await;
    tokio::fs::write(user.home().join("go.1"), "").await.unwrap();
    until_exists(&user.home().join("ended.1")).await;
    tokio::fs::write(user.home().join("go.2"), "").await.unwrap();
    let view = actor.until(|view| view.glyph == Glyph::Attention).await;
    assert!(
        texts(&view).iter().any(|text| text.trim() == "Attempt 2 ended."),
        "{:?}",
        texts(&view)
    );
    actor.click("dismiss").await;
    actor.until(|view| view.glyph == Glyph::Disconnected).await;
}

#[tokio::test]
async fn a_second_click_does_not_start_a_second_session() {
    let user = User::new();
    user.save("shop");
    let starts = user.home().join("starts");
    let script = format!("#!/bin/sh\necho $$ >> '{}'\nexec sleep 300\n", starts.display());
    let mut actor = Actor::start(&user, Program::at(user.script(&script)));
    actor
        .until(|view| texts(view).contains(&"Connect shop".into()))
        .await;
    let connect = Click::Connect(Target::Profile("shop".parse().unwrap()));
    actor.clicks.send(connect.clone()).await.unwrap();
    actor.clicks.send(connect).await.unwrap();
    actor
        .until(|view| texts(view).contains(&"shop (Connecting)".into()))
        .await;
    // The actor handles the quit after both clicks.
    actor.click("quit").await;
    timeout(LIMIT, actor.task).await.unwrap().unwrap().unwrap();
    let pids = until_started(&starts).await;
    for pid in &pids {
        kill(Pid::from_raw(*pid), Signal::SIGKILL).unwrap();
    }
    assert_eq!(pids.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_list_of_contexts_has_a_time_limit() {
    let user = User::new();
    let program = Program::at(user.script("#!/bin/sh\nexec sleep 300\n"));
    let problem = program.contexts().await.unwrap_err();
    assert_eq!(problem.code, "contexts-not-listed");
    assert!(problem.cause.contains("more than 20 s"), "{problem:?}");
}

async fn until_exists(path: &Path) {
    let exists = async {
        while !path.exists() {
            tokio::task::yield_now().await;
        }
    };
    timeout(LIMIT, exists).await.unwrap();
}

/// Waits until the script has run, and returns its process ids.
async fn until_started(starts: &Path) -> Vec<i32> {
    let started = async {
        loop {
            let text = tokio::fs::read_to_string(starts).await.unwrap_or_default();
            if text.ends_with('\n') {
                return text.lines().map(|pid| pid.parse().unwrap()).collect();
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(LIMIT, started).await.unwrap()
}

struct Actor {
    clicks: mpsc::Sender<Click>,
    view: watch::Receiver<View>,
    task: JoinHandle<Result<(), actor::Error>>,
}

impl Actor {
    fn start(user: &User, program: Program) -> Self {
        let (clicks, clicked) = mpsc::channel(4);
        let (shown, view) = watch::channel(View::of(&DesktopState::default()));
        let surroundings = Surroundings {
            store: user.store(),
            folder: user.folder(),
            program,
        };
        Self {
            clicks,
            view,
            task: tokio::spawn(actor::run(surroundings, clicked, shown)),
        }
    }

    fn view(&self) -> View {
        self.view.borrow().clone()
    }

    async fn until(&mut self, wanted: impl Fn(&View) -> bool) -> View {
        let shown = timeout(LIMIT, self.view.wait_for(|view| wanted(view))).await;
        if let Ok(view) = shown.map(|view| view.unwrap().clone()) {
            return view;
        }
        panic!("the actor did not show it; last: {:#?}", texts(&self.view()))
    }

    async fn click(&mut self, slot: &str) {
        let item = self.view().menu.item(slot).cloned();
        let click = item
            .and_then(|item| item.click)
            .unwrap_or_else(|| panic!("{slot} cannot be clicked"));
        self.clicks.send(click).await.unwrap();
    }
}

fn texts(view: &View) -> Vec<String> {
    let text = |entry: &Entry| match entry {
        Entry::Item(item) => Some(item.text.clone()),
        Entry::Separator => None,
    };
    view.menu.entries.iter().filter_map(text).collect()
}
