//! Paths of the workspace's programs.

use std::path::{Path, PathBuf};

/// Returns the path of a built program, which is in the target folder of this test.
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

/// Returns a path as text.
pub fn path_text(path: &Path) -> &str {
    path.to_str().unwrap()
}
