//! Failure of a command: cause, remedy and code, on a terminal and as data.
//!
//! The operator `?` turns a [`Fault`] into a [`Failure`] and keeps its code. Errors of libraries and the system have no
//! code; they become a failure by [`Uncoded::uncoded`], which does not accept errors that have one.

use std::error::Error;
use std::fmt::{self, Write as _};
use std::io;

use slipway_control_api::{Action, Problem};
use slipway_problem::Fault;

/// Exit code of Slipway's own failures; usage errors have 2, a program that was run has its own.
pub(crate) const OURS: u8 = 255;

/// Why a command failed.
#[derive(Clone, Debug)]
pub(crate) enum Failure {
    /// A problem with a code.
    Problem(Problem),
    /// An error without a code: its text and those of its sources.
    Uncoded(String),
    /// The reader of standard output is gone, as after `slipway logs | head`. It is not reported.
    ReaderGone,
}

impl<E: Fault> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Problem(error.problem())
    }
}

impl Failure {
    /// Returns the failure as data. A failure without a code gets the code `uncoded`.
    pub(crate) fn into_problem(self) -> Problem {
        let text = match self {
            Self::Problem(problem) => return problem,
            Self::Uncoded(text) => text,
            Self::ReaderGone => "The reader of the output is gone.".to_owned(),
        };
        let command = "slipway doctor".to_owned();
        Problem::new(
            "uncoded",
            text,
            format!("Run `{command}`; it may show the reason."),
        )
        .with_actions([Action::Run { command }])
    }
}

/// An error that has no code. A type that is a [`Fault`] must not implement this.
pub(crate) trait CodeLess: Error {}

impl CodeLess for io::Error {}
impl CodeLess for nix::Error {}
impl CodeLess for serde_json::Error {}
impl CodeLess for slipway_profile::InvalidValue {}
impl CodeLess for tempfile::PersistError {}

/// Conversion of an error without a code to a [`Failure`].
pub(crate) trait Uncoded<T> {
    /// Puts `what` in front of the error's own text.
    ///
    /// # Errors
    ///
    /// [`Failure::Uncoded`] if there was an error.
    fn uncoded(self, what: impl fmt::Display) -> Result<T, Failure>;
}

impl<T, E: CodeLess> Uncoded<T> for Result<T, E> {
    fn uncoded(self, what: impl fmt::Display) -> Result<T, Failure> {
        self.map_err(|error| {
            let mut text = format!("{what}: {error}");
            let mut source = error.source();
            while let Some(error) = source {
                text.push_str(&format!(": {error}"));
                source = error.source();
            }
            Failure::Uncoded(text)
        })
    }
}

impl<T> Uncoded<T> for Option<T> {
    fn uncoded(self, what: impl fmt::Display) -> Result<T, Failure> {
        self.ok_or_else(|| Failure::Uncoded(what.to_string()))
    }
}

/// Formats a problem for a terminal.
pub(crate) fn in_words(problem: &Problem) -> String {
    let mut text = format!("slipway: {}\n", problem.cause);
    for line in problem.remedy.lines() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", format!("  {line}").trim_end());
    }
    let _ = writeln!(text, "  ({})", problem.code);
    text
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
    fn an_error_with_a_code_keeps_it() {
        let failed = || -> Result<(), Failure> {
            let missing = "shop".parse().uncoded("no name")?;
            Err(slipway_profile::Error::Missing(missing))?
        };
        assert_eq!(failed().unwrap_err().into_problem().code, "profile-missing");
    }

    #[test]
    fn an_error_without_a_code_names_its_source() {
        let refused = io::Error::from(io::ErrorKind::PermissionDenied);
        let failure = Err::<(), _>(refused).uncoded("Failed to read it").unwrap_err();
        let problem = failure.into_problem();
        assert_eq!(problem.code, "uncoded");
        assert_eq!(problem.cause, "Failed to read it: permission denied.");
    }
}
