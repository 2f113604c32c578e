//! The helper on a laptop of the test bed, for commands that show or measure a session there.

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use slipway_bed::Laptop;

/// Where it listens.
pub(crate) const HELPER_SOCKET: &str = "/tmp/slipway-xtask-helper.sock";

/// How long it may take to listen.
const WITHIN: Duration = Duration::from_secs(10);

/// A running helper, ended with this value.
pub(crate) struct LaptopHelper(Child);

impl LaptopHelper {
    /// Starts it and waits until it listens.
    ///
    /// # Errors
    ///
    /// When it does not come to listen.
    pub(crate) fn start(laptop: &Laptop, program: &Path) -> anyhow::Result<LaptopHelper> {
        let child = laptop
            .command_as_helper(program, ["--socket", HELPER_SOCKET, "--allow-uid", "2000"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("Failed to start the helper on the laptop")?;
        let mut helper = LaptopHelper(child);
        let deadline = Instant::now() + WITHIN;
        while !listens(laptop)? {
            ensure!(helper.0.try_wait()?.is_none(), "The helper ended");
            ensure!(
                Instant::now() < deadline,
                "The helper does not listen within {WITHIN:?}"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(helper)
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for LaptopHelper {
    fn drop(&mut self) {
        let _ended_already = self.0.kill();
        let _reaped = self.0.wait();
    }
}

fn listens(laptop: &Laptop) -> anyhow::Result<bool> {
    let mut test = laptop.command("test", ["-S", HELPER_SOCKET]);
    Ok(test.status()?.success())
}
