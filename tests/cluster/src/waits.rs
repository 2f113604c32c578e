//! How long a test waits for what it waits for.

use std::time::{Duration, Instant};

/// How long anything may take that should take a moment.
pub const MOMENT: Duration = Duration::from_secs(10);

/// How long connecting may take on a machine that does other things too.
pub const CONNECTING: Duration = Duration::from_secs(60);

/// Waits a moment for something.
///
/// # Errors
///
/// What was waited for, when it did not come about.
pub fn until(what: &str, met: impl FnMut() -> bool) -> Result<(), String> {
    until_within(MOMENT, what, met)
}

/// Waits so long for something.
///
/// # Errors
///
/// What was waited for, when it did not come about.
pub fn until_within(limit: Duration, what: &str, mut met: impl FnMut() -> bool) -> Result<(), String> {
    let deadline = Instant::now() + limit;
    loop {
        if met() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(format!("it did not happen within {limit:?} that {what}"));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
