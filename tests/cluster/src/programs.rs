//! The programs of this workspace, and how a path of one is handed on.

use std::path::{Path, PathBuf};

/// A built program of this workspace: in the folder that tests themselves are built into.
pub fn program(name: &str) -> PathBuf {
    let here = std::env::current_exe().unwrap();
    let found = here
        .ancestors()
        .map(|folder| folder.join(name))
        .find(|path| path.is_file());
    found.unwrap_or_else(|| {
        panic!("{name} is not built: run `cargo xtask test`, or `cargo build --workspace`")
    })
}

/// A path as text.
pub fn path_text(path: &Path) -> &str {
    path.to_str().unwrap()
}
