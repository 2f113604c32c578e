//! Driver of the tray over D-Bus, in place of a user.
//!
//! Runs on a laptop of the test bed as its ordinary user: starts a virtual screen, a session bus and the desktop
//! program, clicks in its menu as a panel does, and fetches a page while connected. Prints its steps to standard error,
//! and only the page to standard output.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use slipway_tray_host::{Display, Item, SessionBus, Shown, TrayHost};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

/// How long the desktop may take to appear or to show a change.
const SHOWN_WITHIN: Duration = Duration::from_secs(30);

/// How long connecting may take, including the start of the agent's pod.
const CONNECTED_WITHIN: Duration = Duration::from_secs(90);

/// How long the page may take.
const PAGE_WITHIN: Duration = Duration::from_secs(10);

/// Id of the desktop's tray item.
const ITEM: &str = "slipway";

#[derive(Parser)]
struct Arguments {
    /// The desktop program
    #[arg(long)]
    desktop: PathBuf,
    /// The page to fetch while connected; without one, only show the desktop until SIGTERM
    #[arg(long)]
    page: Option<String>,
    /// The profile or context to click; without one, the first in the menu
    #[arg(long, default_value = "")]
    target: String,
    /// While connected, kill the desktop and continue with another one
    #[arg(long, requires = "page")]
    crash: bool,
    /// Once connected, wait for SIGTERM; print what the menu says, and each change
    #[arg(long, requires = "page")]
    hold: bool,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let Some(page) = &arguments.page {
        ensure!(
            fetch(page).await.is_err(),
            "{page} is reachable before connecting"
        );
        say("The page is not reachable. Starting the desktop in a tray.");
    }

    let bus = SessionBus::start().await?;
    let display = Display::start().await?;
    let host = TrayHost::start(&bus.address).await?;
    let mut desktop = start(&arguments.desktop, &bus, &display)?;

    let item = host
        .item(ITEM, SHOWN_WITHIN)
        .await
        .context("The desktop did not appear in the tray")?;
    let Some(page) = &arguments.page else {
        return hold(&desktop, std::future::pending()).await;
    };
    let clicked = item
        .click(&format!("Connect {}", arguments.target), SHOWN_WITHIN)
        .await?;
    say(&format!("Clicked \"{clicked}\"."));
    let menu = Menu::default();
    let shown = item
        .wait(CONNECTED_WITHIN, |shown| {
            if arguments.hold {
                menu.print(shown);
            }
            shown.tooltip.ends_with(": Connected")
        })
        .await
        .context("The tray did not show a connection")?;
    say(&format!("The tray says \"{}\". Fetching {page}", shown.tooltip));
    let text = fetch(page).await?;
    print_page(&text);
    if arguments.hold {
        return hold(&desktop, menu.follow(&item)).await;
    }
    let item = if arguments.crash {
        desktop.kill().await.context("Failed to kill the desktop")?;
        fetch(page).await.context("The session ended with the desktop")?;
        say("Killed the desktop; the page is still reachable. Starting another one.");
        desktop = start(&arguments.desktop, &bus, &display)?;
        shown_again(&host, &shown.tooltip).await?
    } else {
        item
    };

    let clicked = item.click("Disconnect ", SHOWN_WITHIN).await?;
    say(&format!("Clicked \"{clicked}\"."));
    item.wait(SHOWN_WITHIN, |shown| shown.tooltip.ends_with(": Not connected"))
        .await
        .context("The tray did not show that it disconnected")?;
    ensure!(
        fetch(page).await.is_err(),
        "{page} is reachable after disconnecting"
    );
    say("Disconnected. The page is not reachable any more.");
    item.click("Quit", SHOWN_WITHIN).await?;
    let ended: ExitStatus = timeout(SHOWN_WITHIN, desktop.wait())
        .await
        .context("The desktop did not quit")??;
    ensure!(ended.success(), "the desktop ended with {ended}");
    host.stop().await
}

fn start(desktop: &Path, bus: &SessionBus, display: &Display) -> Result<Child> {
    Command::new(desktop)
        .env("DBUS_SESSION_BUS_ADDRESS", &bus.address)
        .env("DISPLAY", &display.name)
        .env("NO_AT_BRIDGE", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("Failed to start the desktop")
}

/// What the menu said last.
#[derive(Default)]
struct Menu(RefCell<String>);

impl Menu {
    /// Prints the texts of the menu in one line, if they have changed.
    fn print(&self, shown: &Shown) {
        let texts = shown.menu.iter().map(|line| line.label.trim());
        let texts: Vec<_> = texts.filter(|text| !text.is_empty()).collect();
        let texts = texts.join(" ");
        if self.0.replace(texts.clone()) != texts {
            say(&format!("The menu says: {texts}"));
        }
    }

    /// Prints each change, until the desktop is gone.
    async fn follow(&self, item: &Item) {
        let never = |shown: &Shown| {
            self.print(shown);
            false
        };
        // An error means that the desktop is gone, which is no failure while it is held.
        let _ = item.wait(Duration::MAX, never).await;
        std::future::pending().await
    }
}

/// Waits for SIGTERM while connected, and does `meanwhile`. The screen, the bus and the desktop end afterwards.
async fn hold(desktop: &Child, meanwhile: impl Future<Output = ()>) -> Result<()> {
    let mut term = signal(SignalKind::terminate()).context("Failed to listen for signals")?;
    let pid = desktop.id().context("The desktop has ended")?;
    say(&format!("Holding. The desktop is process {pid}."));
    tokio::select! {
        _ = term.recv() => {}
        () = meanwhile => {}
    }
    Ok(())
}

/// Waits for the item of the new desktop to show this. Until then the host may still have the item of the killed one.
async fn shown_again(host: &TrayHost, tooltip: &str) -> Result<Item> {
    let shown = async {
        loop {
            if let Ok(item) = host.item(ITEM, SHOWN_WITHIN).await
                && item
                    .wait(SHOWN_WITHIN, |shown| shown.tooltip == tooltip)
                    .await
                    .is_ok()
            {
                return item;
            }
        }
    };
    timeout(SHOWN_WITHIN, shown)
        .await
        .context("The new desktop does not show the session")
}

async fn fetch(page: &str) -> Result<String> {
    let limit = PAGE_WITHIN.as_secs().to_string();
    let output = Command::new("curl")
        .args([
            "--silent",
            "--show-error",
            "--fail",
            "--noproxy",
            "*",
            "--max-time",
            &limit,
            page,
        ])
        .output()
        .await
        .context("Failed to start curl")?;
    if !output.status.success() {
        bail!(
            "{}",
            String::from_utf8_lossy(&output.stderr).trim_end().to_owned()
        );
    }
    Ok(String::from_utf8(output.stdout)?)
}

#[expect(clippy::print_stderr, reason = "the driver prints its steps")]
fn say(line: &str) {
    eprintln!("{line}");
}

#[expect(clippy::print_stdout, reason = "the page is what the driver is asked for")]
fn print_page(text: &str) {
    print!("{text}");
}
