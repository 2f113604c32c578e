//! Tools that are built once and cached.

use std::path::PathBuf;

use anyhow::{Context, ensure};

use crate::{build, folders, say};

/// Version of cargo-deny that `deny.toml` is written for.
const CARGO_DENY: &str = "0.20.2";

/// Returns the path of `cargo-deny`; builds it if it is missing.
///
/// # Errors
///
/// When it cannot be built.
pub(crate) fn cargo_deny() -> anyhow::Result<PathBuf> {
    let root = folders::cache()?
        .join("tools")
        .join(format!("cargo-deny-{CARGO_DENY}"));
    let program = root.join("bin/cargo-deny");
    if program.is_file() {
        return Ok(program);
    }
    say(&format!("Building cargo-deny {CARGO_DENY}, once"));
    let install = [
        "install",
        "--locked",
        "--no-default-features",
        "--version",
        CARGO_DENY,
        "cargo-deny",
        "--root",
    ];
    let status = build::cargo(&install)
        .arg(&root)
        .status()
        .context("Failed to start cargo")?;
    ensure!(status.success(), "cargo-deny could not be built");
    Ok(program)
}
