//! A person at the tray, played over D-Bus.
//!
//! Runs on a laptop of the test bed, as its ordinary user: starts a screen that nobody sees, a session bus and the
//! desktop program, clicks in its menu as a panel does, and fetches a page while connected. What it does goes to
//! standard error, the page alone to standard output. Every step can fail, and says so.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use slipway_tray_host::{Display, Item, SessionBus, TrayHost};
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::time::timeout;

/// How long the desktop may take to appear, and to show a change.
const SHOWN_WITHIN: Duration = Duration::from_secs(30);

/// How long connecting may take: the agent's pod has to start.
const CONNECTED_WITHIN: Duration = Duration::from_secs(90);

/// How long the page may take.
const PAGE_WITHIN: Duration = Duration::from_secs(10);

/// The id under which the desktop shows itself in a tray.
const ITEM: &str = "slipway";

#[derive(Parser)]
struct Arguments {
    /// The desktop program
    #[arg(long)]
    desktop: PathBuf,
    /// The page to fetch while connected
    #[arg(long, required_unless_present = "only_show")]
    page: Option<String>,
    /// Only show the desktop in a tray, say so on standard output, and end it with our standard input
    #[arg(long, conflicts_with = "page")]
    only_show: bool,
    /// The profile or context to click; without one, the first in the menu
    #[arg(long, default_value = "")]
    target: String,
}

#[tokio::main]
async fn main() -> Result<()> {
    let Arguments {
        desktop,
        page,
        target,
        only_show: _,
    } = Arguments::parse();
    if let Some(page) = &page {
        ensure!(
            fetch(page).await.is_err(),
            "{page} is reachable before connecting"
        );
        say("The page is not reachable. Starting the desktop in a tray.");
    }

    let bus = SessionBus::start().await?;
    let display = Display::start().await?;
    let host = TrayHost::start(&bus.address).await?;
    let mut desktop = Command::new(desktop)
        .env("DBUS_SESSION_BUS_ADDRESS", &bus.address)
        .env("DISPLAY", &display.name)
        .env("NO_AT_BRIDGE", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("Failed to start the desktop")?;

    let item = host
        .item(ITEM, SHOWN_WITHIN)
        .await
        .context("The desktop does not appear in the tray")?;
    match &page {
        Some(page) => fetch_by_clicks(&item, &target, page).await?,
        None => show().await?,
    }
    item.click("Quit", SHOWN_WITHIN).await?;
    let ended: ExitStatus = timeout(SHOWN_WITHIN, desktop.wait())
        .await
        .context("The desktop does not quit")??;
    ensure!(ended.success(), "the desktop ended with {ended}");
    host.stop().await
}

/// Leaves the desktop as it is until nobody holds our standard input any more.
async fn show() -> Result<()> {
    print_page("shown\n");
    let mut nothing = Vec::new();
    tokio::io::stdin().read_to_end(&mut nothing).await?;
    Ok(())
}

async fn fetch_by_clicks(item: &Item, target: &str, page: &str) -> Result<()> {
    let clicked = item.click(&format!("Connect {target}"), SHOWN_WITHIN).await?;
    say(&format!("Clicked \"{clicked}\"."));
    let shown = item
        .wait(CONNECTED_WITHIN, |shown| shown.tooltip.ends_with(": Connected"))
        .await
        .context("The tray does not come to show a connection")?;
    say(&format!("The tray says \"{}\". Fetching {page}", shown.tooltip));
    let text = fetch(page).await?;
    print_page(&text);

    let clicked = item.click("Disconnect ", SHOWN_WITHIN).await?;
    say(&format!("Clicked \"{clicked}\"."));
    item.wait(SHOWN_WITHIN, |shown| shown.tooltip.ends_with(": Not connected"))
        .await
        .context("The tray does not come to show that it disconnected")?;
    ensure!(
        fetch(page).await.is_err(),
        "{page} is reachable after disconnecting"
    );
    say("Disconnected. The page is not reachable any more.");
    Ok(())
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

#[expect(
    clippy::print_stderr,
    reason = "what the driver does is told to whoever watches"
)]
fn say(line: &str) {
    eprintln!("{line}");
}

#[expect(clippy::print_stdout, reason = "the page is what the driver is asked for")]
fn print_page(text: &str) {
    print!("{text}");
}
