//! `cargo xtask schema`: JSON Schemas of the `--json` output, in `docs/schema/`.
//!
//! The test that compares the files can also write them. So only test builds contain the code that describes the types.

use std::process::ExitCode;

use anyhow::{Context, ensure};

use crate::build;

/// Renews the files.
pub(crate) fn run() -> anyhow::Result<ExitCode> {
    let status = build::cargo(&["test", "--package", "xtask", "--test", "schema"])
        .env("SLIPWAY_RENEW_SCHEMA", "1")
        .status()
        .context("Failed to start cargo")?;
    ensure!(status.success(), "the schemas could not be renewed");
    Ok(ExitCode::SUCCESS)
}
