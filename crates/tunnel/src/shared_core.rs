//! Shared core: the state machine behind a lock, for the tasks of carriers, streams and requests.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::blocks::Blocks;
use crate::core::Core;

/// Core of a tunnel, with the memory that its streams read into.
#[derive(Debug)]
pub(crate) struct SharedCore {
    core: Mutex<Core>,
    pub(crate) blocks: Blocks,
}

impl SharedCore {
    pub(crate) fn new(core: Core) -> Self {
        Self {
            core: Mutex::new(core),
            blocks: Blocks::default(),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Core> {
        // A panic while the lock was held is a defect elsewhere; the other streams are served best by continuing.
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the time of tokio's clock, which tests can stop.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
