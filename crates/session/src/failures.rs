//! Failed attempts to replace a lost agent, and the pauses between them.

use std::time::Duration;

use slipway_control::{ProblemSource, Publisher};
use slipway_control_api::Problem;

/// Pause after the first failed attempt.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// Pause up to which the first one doubles.
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// Pause after an error that lasts until somebody changes permissions, rules or settings.
const SLOW_PAUSE: Duration = Duration::from_secs(30);

/// Failed attempts to replace an agent, in a row. The last one is a problem in the status until an attempt succeeds.
pub(crate) struct Failures {
    count: u32,
    problem: ProblemSource,
}

impl Failures {
    pub(crate) fn none(publisher: &Publisher) -> Self {
        Self {
            count: 0,
            problem: publisher.problem_source(),
        }
    }

    /// Whether the last attempt failed.
    pub(crate) fn any(&self) -> bool {
        self.count > 0
    }

    /// Forgets them, because an attempt succeeded.
    pub(crate) fn end(&mut self) {
        self.count = 0;
        self.problem.clear();
    }

    /// Counts and shows a failure, and returns the pause before the next attempt. `is_passing` is whether that attempt may
    /// succeed without a change.
    pub(crate) fn add(&mut self, problem: Problem, is_passing: bool) -> Duration {
        self.problem.set([problem]);
        let pause = pause(self.count, is_passing);
        self.count = self.count.saturating_add(1);
        pause
    }
}

/// Returns the pause before the next attempt, after `failures` earlier ones.
fn pause(failures: u32, is_passing: bool) -> Duration {
    if !is_passing {
        return SLOW_PAUSE;
    }
    let factor = 2u32.saturating_pow(failures);
    FIRST_PAUSE.saturating_mul(factor).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let seconds = |is_passing| [0, 1, 2, 3, 4, 1000].map(|count| pause(count, is_passing).as_secs());
        assert_eq!(seconds(true), [1, 2, 4, 8, 8, 8]);
        assert_eq!(seconds(false), [30; 6]);
    }
}
