//! File lock: a kernel lock on a file in the runtime folder. It ends with the process, even if that is killed.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::folder::RuntimeFolder;

/// A lock that this process holds. Its file is removed when this is dropped.
#[derive(Debug)]
pub struct FileLock {
    path: PathBuf,
    file: File,
}

impl RuntimeFolder {
    /// Takes the lock with this file name; `None` if another process has it.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be made.
    pub fn lock(&self, name: &str) -> Result<Option<FileLock>, Error> {
        Ok(self.take_lock(name)?.ok())
    }

    /// Takes the lock with this file name, or returns the file that another process has locked.
    pub(crate) fn take_lock(&self, name: &str) -> Result<Result<FileLock, File>, Error> {
        self.ensure()?;
        let path = self.path().join(name);
        FileLock::take(&path).map_err(|source| failed(&path, source))
    }
}

impl FileLock {
    /// Takes the lock, or returns the file that another process has locked.
    fn take(path: &Path) -> io::Result<Result<Self, File>> {
        loop {
            // The standard library opens files with O_CLOEXEC, so no child process keeps the lock.
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(Err(file)),
                Err(TryLockError::Error(error)) => return Err(error),
            }
            // The previous holder may have removed the file between open and lock.
            if is_at(&file, path)? {
                return Ok(Ok(Self {
                    path: path.to_owned(),
                    file,
                }));
            }
        }
    }

    /// Writes what other processes read of the file while it is locked.
    pub(crate) fn write(&mut self, text: &str) -> Result<(), Error> {
        let written = self
            .file
            .set_len(0)
            .and_then(|()| self.file.write_all(text.as_bytes()));
        written.map_err(|source| failed(&self.path, source))
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // Removed before the unlock: after it, the file may belong to another process.
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(path = %self.path.display(), %error, "failed to remove a lock file");
        }
        // Closing is not enough: a child process has a copy of the descriptor until it calls exec.
        if let Err(error) = self.file.unlock() {
            tracing::debug!(path = %self.path.display(), %error, "failed to unlock a file; its lock ends when the descriptor is closed");
        }
    }
}

fn failed(path: &Path, source: io::Error) -> Error {
    Error::Io {
        action: "locked",
        path: path.to_owned(),
        source,
    }
}

fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (ours.dev(), ours.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_taken_once_and_free_afterwards() {
        let dir = tempfile::tempdir().unwrap();
        let folder = RuntimeFolder::at(dir.path().join("slipway")).unwrap();
        let first = folder.lock("desktop.lock").unwrap().unwrap();
        assert!(folder.lock("desktop.lock").unwrap().is_none());
        // A copy of the descriptor, as a child process has it.
        let copy = first.file.try_clone().unwrap();
        drop(first);
        assert!(folder.lock("desktop.lock").unwrap().is_some());
        drop(copy);
    }
}
