//! Changer: replaces what the user sends to the cluster, in names, routes and the laptop's resolver.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use slipway_control_api::Problem;
use slipway_helper_api::DnsMode;
use slipway_method::{Additions, Changer, NamePlan};
use tokio::sync::{mpsc, oneshot, watch};

use crate::domains::{Domains, Wanted};
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
    /// Number of the last wanted domains that systemd-resolved has.
    pub(crate) applied: watch::Receiver<u64>,
    pub(crate) needs: mpsc::Sender<Need>,
    pub(crate) reach: watch::Receiver<Reach>,
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
        if self.needs.send(need).await.is_ok() {
            // Without a reply the lease has ended.
            let _ = replaced.await;
        }
        // Where the laptop's resolver is not systemd-resolved, it sends every question to the session.
        if self.reach.borrow().dns == Some(DnsMode::Resolved) {
            let mut applied = self.applied.clone();
            let applied = applied.wait_for(|applied| *applied >= number);
            if tokio::time::timeout(DOMAINS_WITHIN, applied).await.is_err() {
                tracing::warn!("systemd-resolved does not have the new domains yet");
            }
        }
        problems(&self.reach.borrow())
    }
}
