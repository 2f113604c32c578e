//! A helper in the background, for one user: without terminal and outputs, until the user has logged out.

use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{Backlog, getsockopt, listen, sockopt};
use nix::unistd::{Pid, daemon, geteuid};
use slipway_helper_api::guarded;

/// Pause between two looks whether the user is logged in.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Time limit for the end of a helper that is replaced: longer than its own limit for its leases.
const ENDS_WITHIN: Duration = Duration::from_secs(7);
/// Pause between two looks whether it has ended.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Continues in a process of its own, and ends the one that was started: whoever waits for it then knows that the socket
/// listens. Must be called before the second thread starts.
pub(crate) fn enter(listener: &UnixListener) -> anyhow::Result<()> {
    daemon(false, false).context("Failed to go to the background")?;
    // Again, so that clients see this process as their peer, and not the one that ended (unix(7), SO_PEERCRED).
    listen(listener, Backlog::MAXCONN).context("Failed to listen")
}

/// Waits until the user is logged out: until logind has removed the user's runtime folder, as it does with the last login
/// session (pam_systemd(8)). Waits forever if there is no such user or folder.
pub(crate) async fn logged_out(user: Option<u32>) {
    let folder = user.map(|user| PathBuf::from(format!("/run/user/{user}")));
    match folder.filter(|folder| folder.exists()) {
        Some(folder) => gone(&folder).await,
        None => std::future::pending().await,
    }
}

async fn gone(folder: &Path) {
    while folder.exists() {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Ends the helper of the same user that listens at a socket, and waits until it is gone. Does nothing if none listens.
pub(crate) fn end_other(socket: &Path) -> anyhow::Result<()> {
    let (folder, name) = socket
        .parent()
        .zip(socket.file_name())
        .context("The socket has no folder")?;
    if !folder.exists() {
        return Ok(());
    }
    // In another folder its owner could put the socket of any other program there.
    let socket = &guarded(folder, geteuid().as_raw())?.join(name);
    let Ok(stream) = UnixStream::connect(socket) else {
        return Ok(());
    };
    let peer = getsockopt(&stream, sockopt::PeerCredentials).context("Failed to find the other helper")?;
    let name = |process: &str| std::fs::read_to_string(format!("/proc/{process}/comm")).ok();
    let is_helper = name(&peer.pid().to_string()).is_some_and(|other| Some(other) == name("self"));
    if peer.uid() != geteuid().as_raw() || !is_helper {
        bail!(
            "another program listens at {}: stop that one first",
            socket.display()
        );
    }
    kill(Pid::from_raw(peer.pid()), Signal::SIGTERM).context("Failed to end the other helper")?;
    let begun = Instant::now();
    while UnixStream::connect(socket).is_ok() {
        if begun.elapsed() > ENDS_WITHIN {
            bail!("another slipway-helper does not end: stop that one first");
        }
        std::thread::sleep(LOOK_AGAIN);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_ends_when_the_user_has_logged_out() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().to_owned();
        let mut waiting = std::pin::pin!(gone(&path));
        let early = tokio::time::timeout(3 * LOOK_EVERY, &mut waiting).await;
        assert!(early.is_err(), "the user is logged in");
        drop(folder);
        waiting.await;
    }

    #[tokio::test(start_paused = true)]
    async fn without_logind_it_does_not_end() {
        let nobody = 4_242_424;
        for user in [None, Some(nobody)] {
            let waited = tokio::time::timeout(3 * LOOK_EVERY, logged_out(user)).await;
            assert!(waited.is_err(), "{user:?}");
        }
    }
}
