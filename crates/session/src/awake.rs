//! Sleep of the laptop, or of the session's process.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Time without a look after which the laptop has slept, or the process was stopped. The session looks every second.
const SLEEP: Duration = Duration::from_secs(5);

/// Last time at which the session was awake.
pub(crate) struct Awake(Duration);

impl Awake {
    /// Begins now.
    pub(crate) fn now() -> Self {
        Self(since_boot())
    }

    /// Returns whether the laptop has slept since the last call. The session has to call it every second.
    pub(crate) fn has_slept(&mut self) -> bool {
        let before = std::mem::replace(&mut self.0, since_boot());
        self.0.saturating_sub(before) >= SLEEP
    }
}

/// Returns the time since the laptop started, with the time in which it slept (`CLOCK_BOOTTIME`, clock_gettime(2)).
pub(crate) fn since_boot() -> Duration {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from)
}
