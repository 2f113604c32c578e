//! Helper process, for commands that show or measure a session.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use slipway_bed::Laptop;

/// Socket of the helper on a laptop of the test bed.
pub(crate) const LAPTOP_SOCKET: &str = "/tmp/slipway-xtask-helper.sock";

/// How long the helper may take to listen.
const WITHIN: Duration = Duration::from_secs(10);

/// A running helper, ended with this value.
pub(crate) struct Helper(Child);

impl Helper {
    /// Starts the program on a laptop of the test bed.
    ///
    /// # Errors
    ///
    /// When it does not listen in time.
    pub(crate) fn start_on(laptop: &Laptop, program: &Path) -> anyhow::Result<Helper> {
        let arguments = ["--socket", LAPTOP_SOCKET, "--allow-uid", "2000"];
        Helper::start(laptop.command_as_helper(program, arguments), || {
            let mut test = laptop.command("test", ["-S", LAPTOP_SOCKET]);
            Ok(test.status()?.success())
        })
    }

    /// Starts the helper and waits until it listens.
    ///
    /// # Errors
    ///
    /// When it does not listen in time.
    pub(crate) fn start(
        mut helper: Command,
        listens: impl Fn() -> anyhow::Result<bool>,
    ) -> anyhow::Result<Helper> {
        let child = helper
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("Failed to start the helper")?;
        let mut helper = Helper(child);
        let deadline = Instant::now() + WITHIN;
        while !listens()? {
            ensure!(helper.0.try_wait()?.is_none(), "The helper ended");
            ensure!(
                Instant::now() < deadline,
                "The helper did not listen within {WITHIN:?}"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(helper)
    }

    /// Returns its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        // An error means that it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
