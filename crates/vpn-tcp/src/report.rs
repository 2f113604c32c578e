//! Report of the method: status and problems, from the reach of the lease.

use std::net::IpAddr;

use slipway_control_api::{BackEnd, CaptureStatus, Problem, VpnTcpStatus};
use slipway_helper_api::DnsMode;
use slipway_method::Report;
use slipway_problem::Fault;
use tokio::sync::watch;

use crate::error::HelperAway;
use crate::overridden::RangeOverridden;
use crate::reach::Reach;

/// Maximum number of networks in the status: thousands of addresses may be learned if the cluster declares no ranges.
const MOST_ROUTES: usize = 256;

/// Reporter that turns each [`Reach`] into a [`Report`].
pub(crate) struct Reporter {
    /// Address of the resolver.
    pub(crate) resolver: IpAddr,
    /// Back end of the capture.
    pub(crate) back_end: slipway_capture::BackEnd,
}

impl Reporter {
    /// Sends a report for every change, until the lease ends.
    pub(crate) async fn follow(self, mut reach: watch::Receiver<Reach>, reports: watch::Sender<Report>) {
        while reach.changed().await.is_ok() {
            let report = self.report(&reach.borrow_and_update());
            reports.send_if_modified(|before| {
                let is_new = *before != report;
                *before = report;
                is_new
            });
        }
    }

    pub(crate) fn report(&self, reach: &Reach) -> Report {
        Report {
            capture: CaptureStatus::VpnTcp(VpnTcpStatus {
                routes: reach.routes.iter().take(MOST_ROUTES).copied().collect(),
                dns: dns_words(reach.dns),
                resolver: self.resolver,
                back_end: match self.back_end {
                    slipway_capture::BackEnd::PrivateNamespace => BackEnd::PrivateNamespace,
                    slipway_capture::BackEnd::Rewriting => BackEnd::Rewriting,
                },
            }),
            problems: problems(reach),
        }
    }
}

/// Describes how the laptop's programs reach the resolver, for people.
pub(crate) fn dns_words(mode: Option<DnsMode>) -> String {
    mode.map_or_else(|| "nothing".to_owned(), |mode| mode.to_string())
}

/// Returns the problems, the most severe first: without the helper no program reaches the cluster. Of the withheld
/// addresses it has only the newest.
pub(crate) fn problems(reach: &Reach) -> Vec<Problem> {
    let away = reach.helper_away.then(|| HelperAway.problem());
    let mut warnings: Vec<_> = reach.warnings.iter().collect();
    warnings.sort_by_key(|warning| warning.is_shared());
    let warnings = warnings.into_iter().map(Fault::problem);
    let overridden = reach.overridden.iter().map(|one| RangeOverridden(one).problem());
    let withheld = reach.withheld.newest();
    away.into_iter()
        .chain(overridden)
        .chain(warnings)
        .chain(reach.left_out.as_ref().map(Fault::problem))
        .chain(withheld.as_ref().map(Fault::problem))
        .collect()
}

#[cfg(test)]
mod tests {
    use slipway_laptop::{By, Overridden};

    use super::*;
    use crate::plan::Warning;

    fn reporter() -> Reporter {
        Reporter {
            resolver: [198, 19, 0, 2].into(),
            back_end: slipway_capture::BackEnd::Rewriting,
        }
    }

    fn codes(report: &Report) -> Vec<&str> {
        report
            .problems
            .iter()
            .map(|problem| problem.code.as_str())
            .collect()
    }

    #[test]
    fn earlier_problems_remain_when_the_helper_returns() {
        let mut reach = Reach {
            warnings: vec![Warning::KeptOut {
                range: "34.0.0.0/8".parse().unwrap(),
                why: "it is public".into(),
                remedy: "if `also-proxy` names it, leave it out",
            }],
            ..Reach::default()
        };
        reach
            .withheld
            .add([127, 0, 0, 1].into(), "it is the laptop's".into());
        let before = reporter().report(&reach);
        assert_eq!(codes(&before), ["range-not-routed", "address-withheld"]);
        reach.helper_away = true;
        let away = reporter().report(&reach);
        assert_eq!(
            codes(&away),
            ["helper-away", "range-not-routed", "address-withheld"]
        );
        reach.helper_away = false;
        assert_eq!(reporter().report(&reach), before);
    }

    #[test]
    fn an_overridden_route_is_a_problem_while_it_lasts() {
        let mut reach = Reach {
            overridden: vec![Overridden {
                nets: vec!["10.96.0.0/16".parse().unwrap()],
                device: Some("ts0".into()),
                by: By::Rule("5270: from all lookup 52".into()),
            }],
            ..Reach::default()
        };
        let report = reporter().report(&reach);
        assert_eq!(codes(&report), ["range-overridden"]);
        let cause = &report.problems[0].cause;
        assert!(
            cause.contains("ts0") && cause.contains("5270: from all lookup 52"),
            "{cause}"
        );
        reach.overridden.clear();
        assert_eq!(codes(&reporter().report(&reach)), [""; 0]);
    }

    #[tokio::test]
    async fn only_changes_are_reported() {
        let (reach, follow) = watch::channel(Reach::default());
        let (reports, mut reported) = watch::channel(reporter().report(&Reach::default()));
        let following = tokio::spawn(reporter().follow(follow, reports));
        reach.send_modify(|reach| reach.routes = vec!["10.96.0.0/16".parse().unwrap()]);
        reported.changed().await.unwrap();
        let seen = reported.borrow_and_update().clone();
        assert_eq!(seen.capture.vpn_tcp().unwrap().routes.len(), 1);
        reach.send_modify(|_| ());
        drop(reach);
        following.await.unwrap();
        assert!(
            reported.changed().await.is_err(),
            "an unchanged report is not sent"
        );
    }
}
