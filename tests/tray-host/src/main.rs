//! Tray for scripts: takes commands on standard input, and answers each with one line on standard output.
//!
//! ```text
//! item ID         wait for the program's icon          ok
//! show            print its content                    {"tooltip":...,"menu":[...]}
//! wait LABEL      wait for a line that begins so       its label
//! tooltip TEXT    wait for a tooltip with this text    the tooltip
//! click LABEL     click the line that begins so        its label
//! ```
//!
//! The bus is `$DBUS_SESSION_BUS_ADDRESS`; an optional argument is the limit of every wait, in seconds
//! (default 30). The first command that fails ends the program with the reason.

use std::io::{self, Write};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use slipway_tray_host::{Item, TrayHost};
use tokio::io::{AsyncBufReadExt, BufReader};

/// Default limit of a command's wait.
const DEFAULT_LIMIT: Duration = Duration::from_secs(30);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let limit = match std::env::args().nth(1) {
        Some(seconds) => {
            Duration::from_secs(seconds.parse().context("The limit is not a number of seconds")?)
        }
        None => DEFAULT_LIMIT,
    };
    let address = std::env::var("DBUS_SESSION_BUS_ADDRESS").context("DBUS_SESSION_BUS_ADDRESS is not set")?;
    let host = TrayHost::start(&address).await?;
    let mut item = None;
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await.context("Failed to read a command")? {
        let answer = obey(&host, &mut item, line.trim(), limit)
            .await
            .with_context(|| format!("Failed to {line}"))?;
        writeln!(io::stdout(), "{answer}").context("Failed to answer")?;
    }
    Ok(())
}

async fn obey(host: &TrayHost, item: &mut Option<Item>, line: &str, limit: Duration) -> Result<String> {
    let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
    if command == "item" {
        *item = Some(host.item(rest, limit).await?);
        return Ok("ok".into());
    }
    let item = item.as_ref().context("name the item first: item ID")?;
    match command {
        "show" => Ok(serde_json::to_string(&item.shown().await?)?),
        "click" => item.click(rest, limit).await,
        "wait" => {
            let shown = item.wait(limit, |shown| shown.line(rest).is_some()).await?;
            Ok(shown
                .line(rest)
                .map(|line| line.label.clone())
                .unwrap_or_default())
        }
        "tooltip" => Ok(item
            .wait(limit, |shown| shown.tooltip.contains(rest))
            .await?
            .tooltip),
        other => bail!("{other} is not a command"),
    }
}
