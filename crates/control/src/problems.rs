//! Problem sources: the parts of a session that report problems.
//!
//! Several parts of a session find problems independently of each other. Each has a [`ProblemSource`]; the status shows
//! the problems of all sources, in the order in which the sources were created.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use slipway_control_api::{Problem, SessionStatus};
use tokio::sync::watch;

use crate::history::Recorder;

/// The problems of all sources of a session.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    next: u64,
    raised: BTreeMap<u64, Vec<Problem>>,
}

/// An owner of problems in a session's status. Dropping it withdraws its problems.
#[derive(Debug)]
pub struct ProblemSource {
    number: u64,
    problems: Arc<Mutex<Problems>>,
    history: Arc<Mutex<Recorder>>,
    status: Arc<watch::Sender<SessionStatus>>,
}

impl ProblemSource {
    pub(crate) fn new(
        problems: Arc<Mutex<Problems>>,
        history: Arc<Mutex<Recorder>>,
        status: Arc<watch::Sender<SessionStatus>>,
    ) -> Self {
        let number = {
            let mut problems = problems.lock().unwrap_or_else(PoisonError::into_inner);
            problems.next += 1;
            problems.next
        };
        Self {
            number,
            problems,
            history,
            status,
        }
    }

    /// Replaces the problems of this source. Watchers are woken only if something changes.
    pub fn set(&self, raised: impl IntoIterator<Item = Problem>) {
        let mut problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
        problems.raised.insert(self.number, raised.into_iter().collect());
        let all: Vec<Problem> = problems.raised.values().flatten().cloned().collect();
        // Under the lock, so that the status keeps the later one of two changes at the same time.
        self.status.send_if_modified(|status| {
            let is_changed = status.problems != all;
            if is_changed {
                let before = status.clone();
                status.problems = all;
                let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
                history.changed(&before, status, Timestamp::now());
            }
            is_changed
        });
    }

    /// Withdraws the problems of this source.
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
    fn a_cleared_source_leaves_the_problems_of_others() {
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
    fn the_same_problems_again_wake_no_watcher() {
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
