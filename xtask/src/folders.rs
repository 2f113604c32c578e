//! Folders that xtask writes to.

use std::path::PathBuf;

use anyhow::Context;

/// Returns the folder of caches that survive between runs.
pub(crate) fn cache() -> anyhow::Result<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || std::env::home_dir().map(|home| home.join(".cache"));
    Ok(base
        .or_else(home)
        .context("Neither XDG_CACHE_HOME nor HOME is set")?
        .join("slipway"))
}
