//! Trait of the errors that users are told.

use crate::action::Action;
use crate::problem::Problem;

/// An error with a code and a remedy. Its own text (`Display`) is the cause.
pub trait Fault: std::error::Error {
    /// Identifier for scripts, in kebab-case. Never changes between versions.
    fn code(&self) -> &str;

    /// What the user can do about it.
    fn remedy(&self) -> String;

    /// The remedies that a program can offer as buttons.
    fn actions(&self) -> Vec<Action> {
        Vec::new()
    }

    /// The error as data.
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
