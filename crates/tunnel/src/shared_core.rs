//! Shared core: the state machine behind a lock, for the tasks of carriers, streams and requests.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::blocks::Blocks;
use crate::core::Core;

/// The core of a tunnel and the memory that its streams read into.
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
        // A panic while the lock was held is a defect elsewhere; going on serves the other streams best.
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The time by tokio's clock, which tests can hold.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
