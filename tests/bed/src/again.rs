//! A test that starts itself once more on a laptop, because what it shows needs that laptop's network.

use std::path::PathBuf;
use std::sync::OnceLock;

use anyhow::{Context, Result, ensure};

use crate::{Bed, BedName, LaptopKind};

/// Set for the process on the laptop.
const ON_LAPTOP: &str = "SLIPWAY_TEST_ON_LAPTOP";

/// What came of a test that was to start itself once more.
#[derive(Debug)]
pub enum Again {
    /// It ran there, and passed. What it printed.
    Passed(String),
    /// There is no bed to run it on, and why.
    NoBed(String),
}

impl Again {
    /// Whether this process is the one on the laptop.
    #[must_use]
    pub fn is_there() -> bool {
        std::env::var_os(ON_LAPTOP).is_some()
    }

    /// Runs the test called `test` of this very program on the plain laptop, where the program is installed as
    /// `program`.
    ///
    /// # Errors
    /// If it fails there, or there is no such test.
    pub fn on_plain_laptop(program: &str, test: &str) -> Result<Self> {
        static INSTALLED: OnceLock<Result<PathBuf, String>> = OnceLock::new();
        let install = || {
            let bed = Bed::attach(&BedName::of_tests()?)?;
            let laptop = bed
                .laptop(LaptopKind::Plain)
                .context("the bed has no plain laptop")?;
            laptop.install(&std::env::current_exe()?, program)
        };
        let path = match INSTALLED.get_or_init(|| install().map_err(|error| format!("{error:#}"))) {
            Ok(path) => path,
            Err(reason) => return Ok(Self::NoBed(reason.clone())),
        };
        let bed = Bed::attach(&BedName::of_tests()?)?;
        let laptop = bed
            .laptop(LaptopKind::Plain)
            .context("the bed has no plain laptop")?;
        let output = laptop
            .command(path, ["--exact", test, "--nocapture"])
            .env(ON_LAPTOP, "1")
            .output()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{said}\non the laptop: {errors}");
        ensure!(said.contains("1 passed"), "nothing was tested: {errors}");
        Ok(Self::Passed(said))
    }
}
