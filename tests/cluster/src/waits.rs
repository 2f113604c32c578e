//! Waits of tests, with their limits.

use std::time::{Duration, Instant};

/// Limit of a short wait.
pub const MOMENT: Duration = Duration::from_secs(10);

/// How long connecting may take on a busy machine.
pub const CONNECTING: Duration = Duration::from_secs(60);

/// Waits a short time for a condition.
///
/// # Errors
///
/// The description of the condition, if it did not hold in time.
pub fn until(what: &str, met: impl FnMut() -> bool) -> Result<(), String> {
    until_within(MOMENT, what, met)
}

/// Waits for a condition, with a limit.
///
/// # Errors
///
/// The description of the condition, if it did not hold in time.
pub fn until_within(limit: Duration, what: &str, mut met: impl FnMut() -> bool) -> Result<(), String> {
    let deadline = Instant::now() + limit;
    loop {
        if met() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(format!("this did not happen within {limit:?}: {what}"));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
