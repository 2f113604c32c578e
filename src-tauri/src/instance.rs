//! One desktop per user.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;

use slipway_control::RuntimeFolder;

/// Holds the place of the one desktop; gives it up when dropped or when the process ends, however that
/// happens.
#[derive(Debug)]
pub struct Instance {
    _lock: File,
}

impl Instance {
    /// Takes the place; nothing if another desktop has it.
    ///
    /// # Errors
    /// What the system said about the lock's file.
    pub fn take(folder: &RuntimeFolder) -> io::Result<Option<Self>> {
        // The lock is on the file, not its presence: there is nothing to clean up after a crash.
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(folder.path().join("desktop.lock"))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _lock: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_taken_once_and_free_again_afterwards() {
        let dir = tempfile::tempdir().unwrap();
        let folder = RuntimeFolder::at(dir.path().join("slipway")).unwrap();
        let first = Instance::take(&folder).unwrap();
        assert!(first.is_some());
        assert!(Instance::take(&folder).unwrap().is_none());
        drop(first);
        assert!(Instance::take(&folder).unwrap().is_some());
    }
}
