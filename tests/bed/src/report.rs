//! How a bed says what it is doing.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// Told what a bed does, while it comes up or goes down. A command prints it, a test need not.
pub trait Report {
    /// `step` begins; it may take minutes where nothing is cached.
    fn begins(&mut self, step: &str);
    /// `step` has ended well.
    fn ended(&mut self, step: &str, took: Duration);
}

/// Says nothing.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl Report for Silent {
    fn begins(&mut self, _step: &str) {}
    fn ended(&mut self, _step: &str, _took: Duration) {}
}

/// Runs one step between its two announcements, and names it where it fails.
pub(crate) fn step<T>(report: &mut dyn Report, name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    report.begins(name);
    let value = work().with_context(|| format!("{name} failed"))?;
    report.ended(name, start.elapsed());
    Ok(value)
}
