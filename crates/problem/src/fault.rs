//! Trait of errors for users.

use crate::action::Action;
use crate::problem::Problem;

/// An error with a code and a remedy. Its `Display` text is the cause.
pub trait Fault: std::error::Error {
    /// Returns the identifier for scripts, in kebab-case. It never changes between versions.
    fn code(&self) -> &str;

    /// Returns what the user can do, in one or more lines.
    fn remedy(&self) -> String;

    /// Returns the remedies that a program can offer as buttons.
    fn actions(&self) -> Vec<Action> {
        Vec::new()
    }

    /// Returns the error as data.
    fn problem(&self) -> Problem {
        Problem::new(self.code(), self.to_string(), self.remedy()).with_actions(self.actions())
    }
}

impl Fault for Problem {
    fn code(&self) -> &str {
        &self.code
    }

    fn remedy(&self) -> String {
        self.remedy.clone()
    }

    fn actions(&self) -> Vec<Action> {
        self.actions.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_its_own_problem() {
        let action = Action::Run {
            command: "slipway doctor".into(),
        };
        let problem = Problem::new("a", "it broke", "mend it").with_actions([action]);
        assert_eq!(Fault::problem(&problem), problem);
    }
}
