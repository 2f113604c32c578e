//! `cargo xtask schema`: JSON Schemas of what `--json` prints, in `docs/schema/`.
//!
//! The test that compares them writes them when it is asked to. So the types describe themselves in a test build alone,
//! and what is shipped does not carry that.

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
