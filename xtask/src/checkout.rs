//! One folder of built programs for every checkout, without mixing them up.
//!
//! Cargo takes a program for current when it is newer than its sources. What one checkout built is newer than the
//! sources of another that was there before, and holds the paths of its own: tests would be of other sources, and look
//! for their files where they are not.

use std::path::PathBuf;
use std::{fs, io};

use anyhow::{Context, Result, ensure};

use crate::build;

/// Whose programs the folder holds: the path of a checkout.
const MARK: &str = "checkout";

/// Makes the folder of built programs this checkout's: what another one built of the workspace is built anew, and what
/// the workspace depends on stays.
///
/// # Errors
///
/// When the folder cannot be written, or Cargo does not clean it.
pub(crate) fn take_over() -> Result<()> {
    let mark = build::target_folder()?.join(MARK);
    let here = root()?;
    let here = here.to_str().context("the checkout's path is no text")?;
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
        // Where the agent's build script builds it.
        (Some(agents), "release"),
    ] {
        let mut clean = build::cargo(&["clean", "--quiet", "--workspace", "--profile", profile]);
        if let Some(folder) = folder {
            clean.env("CARGO_TARGET_DIR", folder);
        }
        ensure!(clean.status()?.success(), "cargo did not clean");
    }
    if let Some(folder) = mark.parent() {
        fs::create_dir_all(folder)?;
    }
    // Root's, of another time, may be taken away by whose the folder is, but not be written.
    let _not_there = fs::remove_file(&mark);
    fs::write(&mark, here).with_context(|| format!("Failed to write {}", mark.display()))
}

/// The folder of this checkout.
pub(crate) fn root() -> Result<PathBuf> {
    let said = build::cargo(&["locate-project", "--workspace", "--message-format=plain"])
        .output()
        .context("Failed to start cargo")?;
    ensure!(said.status.success(), "cargo finds no workspace here");
    let manifest = PathBuf::from(String::from_utf8(said.stdout)?.trim_end());
    Ok(manifest
        .parent()
        .context("a workspace without a folder")?
        .to_owned())
}
