//! Measurements of memory, and of the size of the binary.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::field::Field;
use super::figure::Figure;
use super::memory;
use super::results::Results;
use super::transport::Transport;

/// Number of connections that are open at the same time.
const CROWD: usize = 10_000;

/// How long processes idle before their memory is measured.
const CALM: Duration = Duration::from_secs(3);

/// Measures memory while many connections are open.
pub(super) fn crowded(field: &Field, results: &mut Results) -> Result<()> {
    let crowd = field.hold(CROWD)?;
    std::thread::sleep(CALM);
    let (session, agent) = (session(field)?, agent(field)?);
    let mut add = |figure, value| results.add(figure, Transport::Slipway, value);
    add(Figure::CrowdedSessionMemory, memory::resident(session)?);
    add(Figure::CrowdedAgentMemory, memory::resident(agent)?);
    crowd.end(CROWD)
}

/// Returns the process of the session.
fn session(field: &Field) -> Result<u32> {
    let status = field.status()?;
    let pid = status["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
    pid.context("the status has no process id")
}

/// Returns the process of the agent.
fn agent(field: &Field) -> Result<u32> {
    // Other beds have their own agents.
    let agents = memory::running("/slipway/agent", &format!("slw-{}", field.bed.name()));
    agents.first().copied().context("no agent runs")
}

/// Measures the memory of a session without connections, and the size of its binary.
pub(super) fn idle(field: &Field, results: &mut Results) -> Result<()> {
    std::thread::sleep(CALM);
    let (session, agent) = (session(field)?, agent(field)?);
    let namespace: f64 = memory::children(session)
        .into_iter()
        .filter_map(|child| memory::resident(child).ok())
        .sum();
    let mut add = |figure, value| results.add(figure, Transport::Slipway, value);
    add(Figure::SessionMemory, memory::resident(session)?);
    add(Figure::NamespaceMemory, namespace);
    add(Figure::HelperMemory, memory::resident(field.helper.pid())?);
    add(Figure::AgentMemory, memory::resident(agent)?);
    let binary = std::fs::metadata(field.program("slipway"))?.len();
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    add(Figure::BinarySize, binary as f64 / 1e6);
    add(Figure::DesktopMemory, desktop(field)?);
    Ok(())
}

/// Measures the memory of the desktop while it is shown in a tray.
fn desktop(field: &Field) -> Result<f64> {
    let desktop = field.program("slipway-desktop");
    let desktop = desktop.to_str().context("the path is not UTF-8")?;
    let mut command = field.command(&field.program("slipway-tray-driver"), &["--desktop", desktop]);
    let mut driver = command.stderr(Stdio::piped()).spawn()?;
    let words = driver.stderr.take().context("the driver has no standard error")?;
    let driver = Terminated(driver);
    let shown = BufReader::new(words)
        .lines()
        .map_while(std::io::Result::ok)
        .find_map(|line| {
            line.split_once("The desktop is process ")?
                .1
                .trim_end_matches('.')
                .parse()
                .ok()
        })
        .context("the desktop was not shown")?;
    std::thread::sleep(CALM);
    let resident = memory::resident(shown);
    drop(driver);
    resident
}

/// A process that gets SIGTERM when this is dropped, and is waited for, because it ends its own children.
struct Terminated(Child);

impl Drop for Terminated {
    fn drop(&mut self) {
        if let Ok(pid) = i32::try_from(self.0.id()) {
            // An error means that it has ended.
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        let _ = self.0.wait();
    }
}
