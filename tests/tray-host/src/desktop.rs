//! Session bus and virtual screen for one test.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// How long a server may take to print its address.
const START_LIMIT: Duration = Duration::from_secs(20);

/// A private session bus; ends when dropped.
#[derive(Debug)]
pub struct SessionBus {
    /// As in `DBUS_SESSION_BUS_ADDRESS`.
    pub address: String,
    _daemon: Child,
    /// Folder of its socket, which a daemon that is killed leaves.
    _folder: TempDir,
}

impl SessionBus {
    /// Starts a bus.
    ///
    /// # Errors
    /// If `dbus-daemon` is not installed or does not start.
    pub async fn start() -> Result<Self> {
        let folder = tempfile::tempdir().context("Failed to make a folder for the bus")?;
        let mut command = Command::new("dbus-daemon");
        command
            .args(["--session", "--nofork", "--nopidfile", "--print-address=1"])
            .arg(format!("--address=unix:dir={}", folder.path().display()));
        let (daemon, address) = start(command, "dbus-daemon").await?;
        Ok(Self {
            address,
            _daemon: daemon,
            _folder: folder,
        })
    }
}

/// A virtual X screen; ends when dropped.
#[derive(Debug)]
pub struct Display {
    /// As in `DISPLAY`.
    pub name: String,
    _server: Child,
}

impl Display {
    /// Starts a screen.
    ///
    /// # Errors
    /// If `Xvfb` is not installed or does not start.
    pub async fn start() -> Result<Self> {
        let mut command = Command::new("Xvfb");
        command.args([
            "-displayfd",
            "1",
            "-screen",
            "0",
            "640x480x24",
            "-nolisten",
            "tcp",
        ]);
        let (server, number) = start(command, "Xvfb").await?;
        Ok(Self {
            name: format!(":{number}"),
            _server: server,
        })
    }
}

/// Starts a server that prints its address in its first line.
async fn start(mut command: Command, name: &str) -> Result<(Child, String)> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("Failed to start {name}"))?;
    let stdout = child
        .stdout
        .take()
        .with_context(|| format!("{name} has no standard output"))?;
    let mut line = String::new();
    timeout(START_LIMIT, BufReader::new(stdout).read_line(&mut line))
        .await
        .with_context(|| format!("{name} did not print its address"))??;
    match line.trim() {
        "" => bail!("{name} ended at once"),
        place => Ok((child, place.to_owned())),
    }
}
