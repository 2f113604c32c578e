//! One target folder for all checkouts.
//!
//! Cargo takes a program for current when it is newer than its sources. A program of one checkout can be newer than the
//! sources of another, but has the first one's paths: tests would be of other sources, and would not find their files.

use std::path::PathBuf;
use std::{fs, io};

use anyhow::{Context, Result, ensure};

use crate::build;

/// File with the path of the checkout that the target folder belongs to.
const MARK: &str = "checkout";

/// Claims the target folder for this checkout: removes what another checkout built of the workspace. Built dependencies
/// stay.
///
/// # Errors
///
/// When the folder cannot be written, or Cargo fails to clean it.
pub(crate) fn take_over() -> Result<()> {
    let mark = build::target_folder()?.join(MARK);
    let here = root()?;
    let here = here.to_str().context("the checkout's path is not UTF-8")?;
    match fs::read_to_string(&mark) {
        Ok(whose) if whose == here => return Ok(()),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("Failed to read {}", mark.display())),
    }
    let agents = build::target_folder()?.join("agent");
    for (folder, profile) in [
        (None, "dev"),
        (None, "release"),
        // The target folder of the agent's build script.
        (Some(agents), "release"),
    ] {
        let mut clean = build::cargo(&["clean", "--quiet", "--workspace", "--profile", profile]);
        if let Some(folder) = folder {
            clean.env("CARGO_TARGET_DIR", folder);
        }
        ensure!(clean.status()?.success(), "cargo clean failed");
    }
    if let Some(folder) = mark.parent() {
        fs::create_dir_all(folder)?;
    }
    // A file of root, from an earlier run, can be removed but not written.
    let _ = fs::remove_file(&mark);
    fs::write(&mark, here).with_context(|| format!("Failed to write {}", mark.display()))
}

/// Returns the folder of this checkout.
pub(crate) fn root() -> Result<PathBuf> {
    let said = build::cargo(&["locate-project", "--workspace", "--message-format=plain"])
        .output()
        .context("Failed to start cargo")?;
    ensure!(said.status.success(), "there is no workspace here");
    let manifest = PathBuf::from(String::from_utf8(said.stdout)?.trim_end());
    Ok(manifest
        .parent()
        .context("a workspace without a folder")?
        .to_owned())
}
