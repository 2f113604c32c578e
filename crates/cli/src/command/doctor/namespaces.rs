//! Whether the kernel lets this user make a network namespace: tried, in a process of its own.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use tokio::process::Command;
use tokio::time::timeout;

/// Set for the process that tries.
const TRY: &str = "SLIPWAY_TRY_NAMESPACES";
/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// In the process that [`attempt`] starts: tries, and ends with the kernel's answer as exit code. Must be called before
/// any thread is made, because a process of several threads may not do it.
pub(crate) fn try_if_asked() {
    if std::env::var_os(TRY).is_none() {
        return;
    }
    // One after the other: a security module may allow the first and deny every right in it, the second among them.
    let tried = unshare(CloneFlags::CLONE_NEWUSER).and_then(|()| unshare(CloneFlags::CLONE_NEWNET));
    std::process::exit(tried.err().map_or(0, |errno| errno as i32));
}

/// What the kernel says to a user namespace and a network namespace in it.
///
/// # Errors
///
/// When that could not be found out, with the reason.
pub(super) async fn attempt() -> Result<io::Result<()>, String> {
    let started = |error: io::Error| format!("it could not be started: {error}");
    let status = Command::new(std::env::current_exe().map_err(started)?)
        .env(TRY, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .status();
    let status = timeout(PATIENCE, status)
        .await
        .map_err(|_elapsed| "it took too long")?
        .map_err(started)?;
    match status.code().ok_or("it was killed")? {
        0 => Ok(Ok(())),
        errno => Ok(Err(io::Error::from_raw_os_error(errno))),
    }
}
