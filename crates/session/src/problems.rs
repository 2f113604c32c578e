//! Problems of a connected session: one source for each part that finds something wrong.
//!
//! They are separate so that what one part takes back leaves what the others have raised.

use slipway_control::{ProblemSource, Publisher};
use slipway_control_api::Problem;
use slipway_problem::Fault;
use slipway_vpn_tcp::{HELPER_RETURNS_WITHIN, Reach};

/// The problems that a connected session may have. All are withdrawn when this is dropped.
pub(crate) struct Problems {
    helper: ProblemSource,
    reach: ProblemSource,
    hosts: ProblemSource,
}

impl Problems {
    /// No problems yet. What keeps everything from the cluster is shown first.
    pub(crate) fn new(publisher: &Publisher) -> Self {
        Self {
            helper: publisher.problem_source(),
            reach: publisher.problem_source(),
            hosts: publisher.problem_source(),
        }
    }

    /// Raises what the method could not have on the laptop, the gravest first, and the newest address that programs did
    /// not get.
    pub(crate) fn set_reach(&self, reach: &Reach) {
        let mut warnings: Vec<_> = reach.warnings.iter().collect();
        warnings.sort_by_key(|warning| warning.is_shared());
        let withheld = reach.withheld.newest();
        let warnings = warnings.into_iter().map(Fault::problem);
        self.reach
            .set(warnings.chain(withheld.as_ref().map(Fault::problem)));
    }

    /// Raises that the cluster does not know some of the profile's extra hosts, or that it knows all.
    pub(crate) fn set_unknown_hosts(&self, unknown: Option<Problem>) {
        self.hosts.set(unknown);
    }

    /// Raises that the helper is gone, for as long as it is.
    pub(crate) fn set_helper_away(&self, away: bool) {
        let seconds = HELPER_RETURNS_WITHIN.as_secs();
        self.helper.set(away.then(|| {
            Problem::new(
                "helper-away",
                format!(
                    "slipway-helper ended. Nothing reaches the cluster until it is back; the session waits {seconds} s for it."
                ),
                "Start slipway-helper again.",
            )
        }));
    }
}

#[cfg(test)]
mod tests {
    use slipway_control::{LogRing, fresh_id, status_of_this_process};
    use slipway_profile::Method;
    use slipway_vpn_tcp::Warning;

    use super::*;

    fn codes(publisher: &Publisher) -> Vec<String> {
        let problems = publisher.status().problems;
        problems.into_iter().map(|problem| problem.code).collect()
    }

    fn kept_out(range: &str) -> Warning {
        Warning::KeptOut {
            range: range.parse().unwrap(),
            why: "it is public".into(),
        }
    }

    #[test]
    fn a_helper_that_returns_leaves_earlier_problems() {
        let initial = status_of_this_process(fresh_id("shop"), None, Method::VpnTcp);
        let publisher = Publisher::new(initial, LogRing::new());
        let problems = Problems::new(&publisher);
        problems.set_reach(&Reach {
            warnings: vec![kept_out("34.0.0.0/8"), kept_out("35.0.0.0/8")],
            ..Reach::default()
        });
        problems.set_unknown_hosts(Some(Problem::new("also-proxy-unknown", "a", "b")));
        let before = ["range-not-routed", "range-not-routed", "also-proxy-unknown"];
        assert_eq!(codes(&publisher), before);
        problems.set_helper_away(true);
        assert_eq!(codes(&publisher), [&["helper-away"], &before[..]].concat());
        problems.set_helper_away(false);
        assert_eq!(codes(&publisher), before);
        drop(problems);
        assert_eq!(codes(&publisher), [""; 0]);
    }
}
