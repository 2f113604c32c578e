//! Socket of the helper: every program may connect to it, and only root and the helper's user can replace it.

use std::ffi::OsStr;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use nix::sys::stat::{Mode, umask};
use nix::unistd::geteuid;
use slipway_helper_api::guarded;

/// Returns the socket's path without symbolic links. Its folder is created if it is missing.
pub(crate) fn place(path: &Path) -> anyhow::Result<PathBuf> {
    let path = &std::path::absolute(path)?;
    if UnixStream::connect(path).is_ok() {
        bail!(
            "another slipway-helper listens at {}: stop that one first",
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
    // Fails if another program has created it meanwhile.
    masked(0o022, || std::fs::create_dir(&folder))
        .with_context(|| format!("Failed to create {}", folder.display()))?;
    Ok(folder.join(name))
}

fn split(path: &Path) -> anyhow::Result<(&Path, &OsStr)> {
    path.parent().zip(path.file_name()).with_context(|| {
        format!(
            "{} is not a path of a file: name a socket in a folder",
            path.display()
        )
    })
}

/// Listens at a path. Every user may connect; the authority, not the file mode, decides what they may do.
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

/// Creates a file under this umask, independent of the one that the helper was started with. A chmod afterwards would
/// follow a link. The umask belongs to the process, so there must be no other thread yet.
fn masked<T>(mask: u32, make: impl FnOnce() -> T) -> T {
    let before = umask(Mode::from_bits_truncate(mask));
    let made = make();
    umask(before);
    made
}
