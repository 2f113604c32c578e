//! Changer: replaces what the user sends to the cluster, in names, routes and the laptop's resolver.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use slipway_control_api::Problem;
use slipway_helper_api::DnsMode;
use slipway_method::{Additions, Changer, NamePlan};
use slipway_problem::{Action, Fault};
use tokio::sync::{mpsc, oneshot, watch};

use crate::domains::{Applied, Domains, Wanted};
use crate::error::doctor;
use crate::lease_side::Names;
use crate::need::Need;
use crate::reach::Reach;
use crate::report::problems;

/// Limit of the wait for systemd-resolved to have new domains. The laptop's name servers are asked about a new namespace
/// first.
const DOMAINS_WITHIN: Duration = Duration::from_secs(5);

/// Changer of a connected laptop.
pub(crate) struct VpnChanger {
    /// Plan with which the names started.
    pub(crate) plan: NamePlan,
    pub(crate) names: Names,
    pub(crate) wanted: watch::Sender<Wanted>,
    /// What systemd-resolved has of the wanted domains.
    pub(crate) applied: watch::Receiver<Applied>,
    pub(crate) needs: mpsc::Sender<Need>,
    pub(crate) reach: watch::Receiver<Reach>,
}

/// Part of a change that is not in force.
#[derive(Debug, thiserror::Error)]
enum Incomplete {
    #[error(
        "the helper did not change the session's routes, so the networks that are reached stay as they were"
    )]
    Routes,
    #[error(
        "systemd-resolved did not take the new domains, so programs that ask it do not ask the session about the new names"
    )]
    Domains,
}

impl Fault for Incomplete {
    fn code(&self) -> &str {
        "change-incomplete"
    }

    fn remedy(&self) -> String {
        "Undo the change, or connect again with it. `slipway doctor` shows whether the helper serves you; the log          (`slipway logs`) has its reason. A session may have some hundred hosts and suffixes."
            .to_owned()
    }

    fn actions(&self) -> Vec<Action> {
        vec![doctor()]
    }
}

impl Changer for VpnChanger {
    fn change(&self, additions: Additions) -> BoxFuture<'_, Vec<Problem>> {
        self.replace(additions).boxed()
    }
}

impl VpnChanger {
    async fn replace(&self, additions: Additions) -> Vec<Problem> {
        self.names.change_scope(|scope| additions.onto(scope));
        let mut plan = self.plan.clone();
        additions.onto(&mut plan.scope);
        plan.scope.domain_is_doubtful = self.names.scope().domain_is_doubtful;
        let mut number = 0;
        self.wanted.send_modify(|wanted| {
            wanted.domains = Domains::new(&plan);
            wanted.number += 1;
            number = wanted.number;
        });
        let (done, replaced) = oneshot::channel();
        let need = Need::Networks {
            users: additions.networks,
            done,
        };
        // Without a reply the lease has ended.
        let is_routed = self.needs.send(need).await.is_ok() && replaced.await.unwrap_or(false);
        // Where the laptop's resolver is not systemd-resolved, it sends every question to the session.
        let is_resolved = self.reach.borrow().dns == Some(DnsMode::Resolved);
        let has_domains = !is_resolved || {
            let mut applied = self.applied.clone();
            let applied = applied.wait_for(|applied| applied.number >= number);
            let applied = tokio::time::timeout(DOMAINS_WITHIN, applied).await;
            matches!(applied, Ok(Ok(applied)) if applied.is_set)
        };
        let mut problems = problems(&self.reach.borrow());
        problems.extend((!is_routed).then(|| Incomplete::Routes.problem()));
        problems.extend((!has_domains).then(|| Incomplete::Domains.problem()));
        problems
    }
}
