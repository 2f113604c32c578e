//! Self-check from the agent's side: whether names and connections that leave the agent work at all.
//!
//! Every 30 s the agent asks the cluster's DNS for the service that every cluster has, and connects to it. What is wrong
//! becomes a problem in the status, which is withdrawn when it is over.
//!
//! ```text
//! answer, attempt ─► verdict (what is wrong, and whether that is certain) ─► reason (what stands behind it) ─► problem
//! ```

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use slipway_cluster::placement::AgentPod;
use slipway_control::ProblemSource;
use slipway_method::Explainer;
use slipway_names::Name;
use slipway_problem::Fault;
use slipway_tunnel::{StreamRefusal, Tunnel};
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

use self::reason::{CheckFailed, with_reason};
use self::verdict::{Answer, Attempt, Course, Verdict};
use crate::cluster::Obstacles;

mod reason;
mod verdict;

pub(crate) use verdict::HTTPS;

/// Limit of an attempt to connect. Within a cluster it takes milliseconds.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// Check of one agent.
pub(crate) struct SelfCheck<C> {
    pub(crate) tunnel: Tunnel,
    pub(crate) cluster: Arc<C>,
    pub(crate) agent: AgentPod,
    pub(crate) explainer: Arc<dyn Explainer>,
    /// Domain of the cluster's names.
    pub(crate) domain: Name,
    /// Probable address of the service `kubernetes`.
    pub(crate) guess: Option<IpAddr>,
    /// Gets whether the last check found everything fine.
    pub(crate) fine: watch::Sender<bool>,
    /// Wakes the check before its time.
    pub(crate) now: Arc<Notify>,
}

/// Returns the name of the service that every cluster has; `None` if the domain is so long that no name fits below it.
pub(crate) fn service(domain: &Name) -> Option<Name> {
    format!("kubernetes.default.svc.{domain}").parse().ok()
}

impl<C: Obstacles> SelfCheck<C> {
    /// Checks until it is dropped, which also withdraws its problems.
    pub(crate) async fn run(self, problems: ProblemSource) -> Infallible {
        let Some(service) = service(&self.domain) else {
            tracing::debug!(domain = %self.domain, "the self-check has no name to ask for");
            return std::future::pending().await;
        };
        let mut course = Course::new(self.guess);
        let mut shown: Option<Verdict> = None;
        loop {
            self.check(&service, &mut course).await;
            self.fine.send_replace(course.is_fine());
            let wrong = course.wrong();
            if wrong != shown {
                let problem = match wrong {
                    Some(verdict) => Some(self.explain(verdict, &service).await),
                    None => None,
                };
                match &problem {
                    Some(problem) => tracing::warn!(code = problem.code(), "{problem}"),
                    None => tracing::info!("the agent reaches the cluster again"),
                }
                problems.set(problem.map(|problem| problem.problem()));
                shown = wrong;
            }
            tokio::select! {
                () = sleep(course.pause()) => {}
                () = self.now.notified() => {}
            }
        }
    }

    /// Does one check.
    async fn check(&self, service: &Name, course: &mut Course) {
        let Some(finding) = self.explainer.in_cluster(service).await else {
            return;
        };
        let Some(answer) = Answer::of(&finding) else {
            return;
        };
        let attempt = match course.target(answer) {
            Some(to) => Some((to, self.connect(to).await)),
            None => None,
        };
        // Without a carrier, the silence was the session's own. It is about to reconnect.
        if *self.tunnel.carriers().borrow() > 0 {
            tracing::debug!(?answer, ?attempt, "self-check");
            course.note(answer, attempt);
        }
    }

    async fn connect(&self, to: SocketAddr) -> Attempt {
        match timeout(CONNECT_WITHIN, self.tunnel.open(to)).await {
            // The connection ends with its stream, which is dropped here.
            Ok(Ok(_stream)) => Attempt::Connected,
            Ok(Err(refusal)) => Attempt::Failed(refusal),
            Err(_) => Attempt::Failed(StreamRefusal::TimedOut),
        }
    }

    async fn explain(&self, verdict: Verdict, service: &Name) -> CheckFailed {
        with_reason(verdict, &*self.cluster, &self.agent, service, &self.domain).await
    }
}
