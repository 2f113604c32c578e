//! Watch for changes of the files in a folder.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::io::unix::AsyncFd;

use crate::error::Error;

/// A watch on a folder: reports that a file was created, written, moved or deleted, but not which one. Used to find
/// sessions and changed profiles.
pub struct FolderWatch {
    events: AsyncFd<PollableInotify>,
}

struct PollableInotify(Inotify);

impl AsRawFd for PollableInotify {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl FolderWatch {
    /// Starts to watch. Every change from here on is reported.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder does not exist or cannot be watched.
    pub fn start(folder: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Io {
            action: "watched",
            path: folder.to_owned(),
            source,
        };
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)
            .map_err(|errno| failed(errno.into()))?;
        let changes = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVE
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_ONLYDIR;
        inotify
            .add_watch(folder, changes)
            .map_err(|errno| failed(errno.into()))?;
        Ok(Self {
            events: pollable(inotify).map_err(failed)?,
        })
    }

    /// Waits for a change; false if the folder itself is gone, so that no more changes will be reported. Cancel safe.
    ///
    /// # Errors
    /// The system's error.
    pub async fn changed(&self) -> io::Result<bool> {
        loop {
            let mut ready = self.events.readable().await?;
            match self.events.get_ref().0.read_events() {
                Ok(events) => {
                    return Ok(!events
                        .iter()
                        .any(|event| event.mask.contains(AddWatchFlags::IN_IGNORED)));
                }
                Err(Errno::EAGAIN) => ready.clear_ready(),
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

#[expect(
    unsafe_code,
    reason = "tokio requires the promise that the descriptor stays the same"
)]
fn pollable(inotify: Inotify) -> io::Result<AsyncFd<PollableInotify>> {
    // SAFETY: the descriptor belongs to the `Inotify`, which keeps it open and never changes it, and which
    // lives in the `AsyncFd` until that has deregistered it.
    unsafe { AsyncFd::register(PollableInotify(inotify)) }.map_err(io::Error::from)
}
