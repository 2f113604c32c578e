//! Reports about the steps of a bed.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// Receiver of the steps of a bed that comes up or goes down.
pub trait Report {
    /// `step` begins; it may take minutes where nothing is cached.
    fn begins(&mut self, step: &str);
    /// `step` has ended with success.
    fn ended(&mut self, step: &str, took: Duration);
}

/// A report that ignores all steps.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl Report for Silent {
    fn begins(&mut self, _step: &str) {}
    fn ended(&mut self, _step: &str, _took: Duration) {}
}

/// Runs one step and reports its start and end. An error names the step.
pub(crate) fn step<T>(report: &mut dyn Report, name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    report.begins(name);
    let value = work().with_context(|| format!("{name} failed"))?;
    report.ended(name, start.elapsed());
    Ok(value)
}
