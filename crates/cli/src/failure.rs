//! How a command says that it failed: cause, remedy, then details.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use slipway_control::Problem;

/// Exit code of our own failures; usage errors have 2, a program that was run has its own.
const OURS: u8 = 255;

/// Writes an error to standard error and gives the exit code for it.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    let text = match problem(error) {
        Some(problem) => in_words(&problem),
        None => format!("slipway: {error:#}\n"),
    };
    let _nobody_reads = std::io::stderr().write_all(text.as_bytes());
    ExitCode::from(OURS)
}

/// A problem as people read it.
pub(crate) fn in_words(problem: &Problem) -> String {
    let mut text = format!("slipway: {}\n", problem.cause);
    for line in problem.remedy.lines() {
        let _infallible = writeln!(text, "  {line}");
    }
    let _infallible = writeln!(text, "  ({})", problem.code);
    text
}

fn problem(error: &anyhow::Error) -> Option<Problem> {
    error.chain().find_map(|cause| {
        if let Some(problem) = cause.downcast_ref::<Problem>() {
            return Some(problem.clone());
        }
        if let Some(error) = cause.downcast_ref::<slipway_profile::Error>() {
            return Some(Problem::new(error.code(), error.to_string(), error.remedy()));
        }
        None
    })
}
