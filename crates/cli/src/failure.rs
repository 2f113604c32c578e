//! How a command says that it failed: cause, remedy, then details.

use std::fmt::Write as _;
use std::process::ExitCode;

use slipway_cluster::api::ApiError;
use slipway_cluster::keys::KeyError;
use slipway_cluster::kubeconfig::{ConnectError, KubeconfigError};
use slipway_control::Problem;

use crate::output::{self, ReaderGone};

/// Exit code of our own failures; usage errors have 2, a program that was run has its own.
pub(crate) const OURS: u8 = 255;

/// Writes an error to standard error and gives the exit code for it.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    if error.chain().any(|cause| cause.is::<ReaderGone>()) {
        // As for `slipway logs | head`: who stopped reading wants no more, and no word about it.
        return ExitCode::SUCCESS;
    }
    let text = match problem(error) {
        Some(problem) => in_words(&problem),
        None => format!("slipway: {error:#}\n"),
    };
    output::tell(&text);
    ExitCode::from(OURS)
}

/// A problem as people read it.
pub(crate) fn in_words(problem: &Problem) -> String {
    let mut text = format!("slipway: {}\n", problem.cause);
    for line in problem.remedy.lines() {
        let _infallible = writeln!(text, "{}", format!("  {line}").trim_end());
    }
    let _infallible = writeln!(text, "  ({})", problem.code);
    text
}

/// The problem behind an error, where it is one of those with a code.
pub(crate) fn problem(error: &anyhow::Error) -> Option<Problem> {
    error.chain().find_map(|cause| {
        if let Some(problem) = cause.downcast_ref::<Problem>() {
            return Some(problem.clone());
        }
        if let Some(error) = cause.downcast_ref::<slipway_control::Error>() {
            return Some(error.problem());
        }
        if let Some(error) = cause.downcast_ref::<slipway_profile::Error>() {
            return Some(Problem::new(error.code(), error.to_string(), error.remedy()));
        }
        if let Some(error) = cause.downcast_ref::<KubeconfigError>() {
            return Some(Problem::new(error.code(), error.to_string(), error.remedy()));
        }
        if let Some(error) = cause.downcast_ref::<ConnectError>() {
            return Some(Problem::new(error.code(), error.to_string(), error.remedy()));
        }
        if let Some(error) = cause.downcast_ref::<ApiError>() {
            return Some(Problem::new(error.code(), error.to_string(), error.remedy()));
        }
        if let Some(error) = cause.downcast_ref::<KeyError>() {
            return Some(Problem::new(error.code(), error.to_string(), error.remedy()));
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cause_comes_first_then_what_to_do_then_the_code() {
        let problem = Problem::new(
            "agent-silent",
            "The agent is silent.",
            "Look at its log.\nConnect again.",
        );
        insta::assert_snapshot!(in_words(&problem), @r"
        slipway: The agent is silent.
          Look at its log.
          Connect again.
          (agent-silent)
        ");
    }

    #[test]
    fn a_problem_is_found_behind_what_was_added_to_it() {
        let error = anyhow::Error::from(Problem::new("a", "b", "c")).context("while doing something");
        assert_eq!(problem(&error).unwrap().code, "a");
        assert!(problem(&anyhow::anyhow!("no code")).is_none());
    }
}
