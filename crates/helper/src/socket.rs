//! Socket of the helper: anybody may connect to it, and nobody may put another in its place.

use std::ffi::OsStr;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use nix::sys::stat::{Mode, umask};
use nix::unistd::geteuid;
use slipway_helper_api::guarded;

/// Where to listen: the same place without links in its path, in a folder that is made if it is missing.
pub(crate) fn place(path: &Path) -> anyhow::Result<PathBuf> {
    let path = &std::path::absolute(path)?;
    if UnixStream::connect(path).is_ok() {
        bail!(
            "another slipway-helper listens at {}: stop it first",
            path.display()
        );
    }
    let (folder, name) = split(path)?;
    let guarded = |folder: &Path| guarded(folder, geteuid().as_raw());
    if folder.exists() {
        return Ok(guarded(folder)?.join(name));
    }
    let (above, last) = split(folder)?;
    let folder = guarded(above)?.join(last);
    // Fails where somebody else was quicker.
    masked(0o022, || std::fs::create_dir(&folder))
        .with_context(|| format!("Failed to create {}", folder.display()))?;
    Ok(folder.join(name))
}

fn split(path: &Path) -> anyhow::Result<(&Path, &OsStr)> {
    path.parent()
        .zip(path.file_name())
        .with_context(|| format!("{} is no place for a socket", path.display()))
}

/// Listens there. Who may do what is decided by whom they are, not by file modes.
pub(crate) fn listen(path: &Path) -> anyhow::Result<UnixListener> {
    if path
        .symlink_metadata()
        .is_ok_and(|metadata| metadata.file_type().is_socket())
    {
        std::fs::remove_file(path).with_context(|| format!("Failed to remove {}", path.display()))?;
    }
    let listener = masked(0o111, || UnixListener::bind(path))
        .with_context(|| format!("Failed to listen at {}", path.display()))?;
    listener
        .set_nonblocking(true)
        .context("Failed to make the socket non-blocking")?;
    Ok(listener)
}

/// Makes something with exactly the mode that this umask leaves, whatever the one that we were started with. A chmod
/// afterwards would follow a link. The umask is the process's, so there must be no other thread yet.
fn masked<T>(mask: u32, make: impl FnOnce() -> T) -> T {
    let before = umask(Mode::from_bits_truncate(mask));
    let made = make();
    umask(before);
    made
}
