//! Tests that start themselves again on a laptop, because they need that laptop's network.

use std::path::PathBuf;
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow, ensure};

use crate::{Bed, BedName, LaptopKind};

/// Set for the process on the laptop.
const ON_LAPTOP: &str = "SLIPWAY_TEST_ON_LAPTOP";

/// Whether this process is the one on the laptop.
#[must_use]
pub fn is_there() -> bool {
    std::env::var_os(ON_LAPTOP).is_some()
}

/// Runs the test `test` of this program on the plain laptop, where the program is installed as `program`. Returns its
/// output.
///
/// # Errors
/// If the test fails, or if it or the bed does not exist.
pub fn on_plain_laptop(program: &str, test: &str) -> Result<String> {
    static INSTALLED: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let bed = Bed::attach(&BedName::of_tests()?).context("there is no bed to run it on")?;
    let laptop = bed
        .laptop(LaptopKind::Plain)
        .context("the bed has no plain laptop")?;
    let install = || laptop.install(&std::env::current_exe()?, program);
    let path = INSTALLED
        .get_or_init(|| install().map_err(|error| format!("{error:#}")))
        .as_ref()
        .map_err(|reason| anyhow!("{reason}"))?;
    let output = laptop
        .command(path, ["--exact", test, "--include-ignored", "--nocapture"])
        .env(ON_LAPTOP, "1")
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{said}\non the laptop: {errors}");
    ensure!(said.contains("1 passed"), "nothing was tested: {errors}");
    Ok(said)
}
