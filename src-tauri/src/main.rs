//! `slipway-desktop`: the program of the tray.
//!
//! It starts the actor, shows its view on the main thread and forwards clicks to it.

mod tray;
mod tray_host;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use slipway_control::{PlainFields, RuntimeFolder, plain_text};
use slipway_desktop::actor::{self, Surroundings};
use slipway_desktop::gl;
use slipway_desktop::{Click, DesktopState, Program, View};
use slipway_problem::Fault;
use slipway_profile::Store;
use tauri::AppHandle;
use tokio::sync::{mpsc, oneshot, watch};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::tray::Tray;
use crate::tray_host::TrayHosts;

/// Number of clicks that may wait. Only a program clicks faster.
const CLICK_QUEUE: usize = 16;

const HELP: &str = "\
slipway-desktop: the tray of Slipway

Usage: slipway-desktop [--help | --version]

Shows every session in the tray, also those from a terminal, and connects and
disconnects. When the tray ends, sessions continue.

Environment:
  SLIPWAY_BIN   path of the slipway program (default: beside this program, then PATH)
  SLIPWAY_LOG   level of the log on standard error, such as `debug` (default: info)
";

#[expect(unsafe_code, reason = "see gl::keep_out")]
fn main() -> ExitCode {
    // SAFETY: no other thread was started yet.
    unsafe { gl::keep_out() };
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn start() -> Result<()> {
    match std::env::args().nth(1).as_deref() {
        None => {}
        Some("--help" | "-h") => return print(HELP),
        Some("--version" | "-V") => {
            return print(concat!("slipway-desktop ", env!("CARGO_PKG_VERSION"), "\n"));
        }
        Some(other) => bail!("the option {other} is not known; see slipway-desktop --help"),
    }
    log_to_stderr();
    if !has_display() {
        bail!(
            "there is no display: start slipway-desktop in a desktop session, or set DISPLAY or WAYLAND_DISPLAY"
        );
    }
    let folder =
        RuntimeFolder::of_user().map_err(|error| with_remedy(&error.to_string(), &error.remedy()))?;
    let only_one = folder
        .lock("desktop.lock")
        .map_err(|error| with_remedy(&error.to_string(), &error.remedy()))?;
    let Some(lock) = only_one else {
        return print("The tray of Slipway is running already: look for its icon.\n");
    };
    let store = Store::of_user().map_err(|error| with_remedy(&error.to_string(), &error.remedy()))?;
    run(Surroundings {
        store,
        folder,
        program: Program::find(),
    })?;
    drop(lock);
    Ok(())
}

fn run(surroundings: Surroundings) -> Result<()> {
    // Tauri's own runtime would have a thread for each processor; one is enough, because all tasks mostly wait.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("Failed to start the runtime")?;
    tauri::async_runtime::set(runtime.handle().clone());
    let (clicks, clicked) = mpsc::channel(CLICK_QUEUE);
    let (view, shown) = watch::channel(View::of(&DesktopState::default()));
    let app = tauri::Builder::default()
        .setup(move |app| {
            let handle = app.handle().clone();
            tauri::async_runtime::spawn(async move {
                let ended = actor::run(surroundings, clicked, view).await;
                if let Err(error) = &ended {
                    say(&error.to_string());
                }
                handle.exit(i32::from(ended.is_err()));
            });
            tauri::async_runtime::spawn(show(app.handle().clone(), shown, clicks));
            Ok(())
        })
        .build(tauri::generate_context!())
        .context("Failed to start the desktop")?;
    // There is no window; only Quit ends the program.
    let code = app.run_return(|_, _| {});
    match code {
        0 => Ok(()),
        code => bail!("slipway-desktop ended with code {code}"),
    }
}

/// Updates the tray at every change of the view, until the actor ends.
async fn show(app: AppHandle, mut view: watch::Receiver<View>, clicks: mpsc::Sender<Click>) {
    let tray = Arc::new(Mutex::new(None));
    build(&app, &tray, &view, clicks).await;
    while view.changed().await.is_ok() {
        let now = view.borrow_and_update().clone();
        let (tray, handle) = (Arc::clone(&tray), app.clone());
        let shown = on_main_thread(&app, move || match &mut *lock(&tray) {
            Some(tray) => Tray::show(tray, &handle, now),
            None => Ok(()),
        });
        if let Err(error) = shown.await {
            tracing::error!(%error, "failed to update the tray");
        }
    }
}

/// Adds the icon to the tray. If no program shows tray icons, reports that and waits for one.
async fn build(
    app: &AppHandle,
    tray: &Arc<Mutex<Option<Tray>>>,
    view: &watch::Receiver<View>,
    clicks: mpsc::Sender<Click>,
) {
    let mut hosts = TrayHosts::watch().await;
    let mut is_reported = false;
    loop {
        let (slot, handle, now) = (Arc::clone(tray), app.clone(), view.borrow().clone());
        let click = passing_clicks(view.clone(), clicks.clone());
        let built = on_main_thread(app, move || {
            *lock(&slot) = Some(Tray::build(&handle, now, click)?);
            Ok(())
        });
        let Err(error) = built.await else { break };
        tracing::debug!(%error, "no program shows tray icons");
        if !is_reported {
            say(
                "no program on this desktop shows tray icons. Sessions are not affected, and `slipway status` shows \
                 them. On GNOME, install the extension \"AppIndicator and KStatusNotifierItem Support\"; elsewhere, \
                 start a panel that has a tray. slipway-desktop waits for one.",
            );
            is_reported = true;
        }
        hosts.may_have_come().await;
    }
    if is_reported {
        say("the icon is in the tray now");
    }
}

/// Returns the handler of clicks: it looks up the item's present action and sends it to the actor. It is called on a
/// thread that must not wait.
fn passing_clicks(
    view: watch::Receiver<View>,
    clicks: mpsc::Sender<Click>,
) -> impl Fn(&str) + Send + Sync + 'static {
    move |slot| {
        let click = view.borrow().menu.item(slot).and_then(|item| item.click.clone());
        let Some(click) = click else { return };
        if clicks.try_send(click).is_err() {
            tracing::warn!("dropped a click: the queue is full");
        }
    }
}

async fn on_main_thread(
    app: &AppHandle,
    act: impl FnOnce() -> tauri::Result<()> + Send + 'static,
) -> tauri::Result<()> {
    let (done, outcome) = oneshot::channel();
    app.run_on_main_thread(move || {
        let _ = done.send(act());
    })?;
    // The main thread drops the closure if the app is ending.
    outcome.await.unwrap_or(Ok(()))
}

fn lock(tray: &Mutex<Option<Tray>>) -> std::sync::MutexGuard<'_, Option<Tray>> {
    tray.lock().unwrap_or_else(PoisonError::into_inner)
}

fn has_display() -> bool {
    ["DISPLAY", "WAYLAND_DISPLAY"]
        .iter()
        .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

fn with_remedy(cause: &str, remedy: &str) -> anyhow::Error {
    anyhow::anyhow!("{cause}; {remedy}")
}

fn log_to_stderr() {
    let level = std::env::var("SLIPWAY_LOG").ok();
    let level: Option<LevelFilter> = level.and_then(|level| level.parse().ok());
    let shown = match level {
        Some(level) => Targets::new().with_default(level),
        // zbus warns when the bus closes, which happens at every quit.
        None => Targets::new()
            .with_default(LevelFilter::INFO)
            .with_target("zbus", LevelFilter::ERROR),
    };
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .fmt_fields(PlainFields::default());
    tracing_subscriber::registry()
        .with(lines.with_filter(shown))
        .init();
}

fn say(sentence: &str) {
    let _ = writeln!(io::stderr(), "slipway-desktop: {}", plain_text(sentence));
}

fn print(text: &str) -> Result<()> {
    io::stdout()
        .write_all(text.as_bytes())
        .context("Failed to write to standard output")
}
