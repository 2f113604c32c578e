//! Trial of a network namespace, in a separate process.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use tokio::process::Command;
use tokio::time::timeout;

/// Environment variable that marks the process of the trial.
const TRY: &str = "SLIPWAY_TRY_NAMESPACES";
/// How long the trial may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Runs the trial in the process that [`attempt`] starts, and exits with the kernel's errno. Must be called before any
/// thread starts, because the kernel refuses a user namespace to a process with several threads.
pub(crate) fn try_if_asked() {
    if std::env::var_os(TRY).is_none() {
        return;
    }
    // Two calls: a security module may allow the user namespace and deny every right in it, such as the second call.
    let tried = unshare(CloneFlags::CLONE_NEWUSER).and_then(|()| unshare(CloneFlags::CLONE_NEWNET));
    std::process::exit(tried.err().map_or(0, |errno| errno as i32));
}

/// Returns whether the kernel allows a user namespace and a network namespace in it.
///
/// # Errors
///
/// The reason, if the trial could not be made.
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
        .map_err(|_| "it took too long")?
        .map_err(started)?;
    match status.code().ok_or("it was killed")? {
        0 => Ok(Ok(())),
        errno => Ok(Err(io::Error::from_raw_os_error(errno))),
    }
}
