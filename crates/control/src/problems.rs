//! Problem sources: who says that something is wrong, each with a list of its own.
//!
//! Several parts of a session find things wrong independently of each other. Each has a [`ProblemSource`]; the status
//! shows the problems of all of them, in the order in which the sources were created.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use slipway_control_api::{Problem, SessionStatus};
use tokio::sync::watch;

/// The problems of all sources of a session.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    next: u64,
    raised: BTreeMap<u64, Vec<Problem>>,
}

/// One owner of problems in a session's status. Dropping it withdraws what it raised.
#[derive(Debug)]
pub struct ProblemSource {
    number: u64,
    problems: Arc<Mutex<Problems>>,
    status: Arc<watch::Sender<SessionStatus>>,
}

impl ProblemSource {
    pub(crate) fn new(problems: Arc<Mutex<Problems>>, status: Arc<watch::Sender<SessionStatus>>) -> Self {
        let number = {
            let mut problems = problems.lock().unwrap_or_else(PoisonError::into_inner);
            problems.next += 1;
            problems.next
        };
        Self {
            number,
            problems,
            status,
        }
    }

    /// Replaces what this source has raised. Watchers are not woken where nothing changes.
    pub fn set(&self, raised: impl IntoIterator<Item = Problem>) {
        let mut problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
        problems.raised.insert(self.number, raised.into_iter().collect());
        let all: Vec<Problem> = problems.raised.values().flatten().cloned().collect();
        // Under the lock, so that of two changes at one time the later one is what the status keeps.
        self.status.send_if_modified(|status| {
            let changed = status.problems != all;
            status.problems = all;
            changed
        });
    }

    /// Withdraws what this source has raised.
    pub fn clear(&self) {
        self.set([]);
    }
}

impl Drop for ProblemSource {
    fn drop(&mut self) {
        self.clear();
        let mut problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
        problems.raised.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use slipway_profile::Method;

    use super::*;
    use crate::log::LogRing;
    use crate::publisher::Publisher;
    use crate::start::{fresh_id, status_of_this_process};

    fn publisher() -> Publisher {
        let initial = status_of_this_process(fresh_id("shop"), None, Method::VpnTcp);
        Publisher::new(initial, LogRing::new())
    }

    fn problem(code: &str) -> Problem {
        Problem::new(code, "It broke.", "Mend it.")
    }

    fn codes(publisher: &Publisher) -> Vec<String> {
        let problems = publisher.status().problems;
        problems.into_iter().map(|problem| problem.code).collect()
    }

    #[test]
    fn a_problem_that_passes_leaves_those_of_other_sources() {
        let publisher = publisher();
        let (helper, ranges) = (publisher.problem_source(), publisher.problem_source());
        ranges.set([problem("range-not-routed")]);
        helper.set([problem("helper-away")]);
        assert_eq!(codes(&publisher), ["helper-away", "range-not-routed"]);
        helper.clear();
        assert_eq!(codes(&publisher), ["range-not-routed"]);
    }

    #[test]
    fn a_dropped_source_withdraws_its_problems() {
        let publisher = publisher();
        let (first, second) = (publisher.problem_source(), publisher.problem_source());
        first.set([problem("a"), problem("b")]);
        second.set([problem("c")]);
        drop(first);
        assert_eq!(codes(&publisher), ["c"]);
    }

    #[test]
    fn the_same_problems_again_wake_nobody() {
        let publisher = publisher();
        let source = publisher.problem_source();
        source.set([problem("a")]);
        let mut watch = publisher.watch();
        watch.mark_unchanged();
        source.set([problem("a")]);
        drop(publisher.problem_source());
        assert!(!watch.has_changed().unwrap());
        source.clear();
        assert!(watch.has_changed().unwrap());
    }
}
