//! Running method: a connected laptop.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use slipway_capture::Capture;
use slipway_control_api::Problem;
use slipway_method::{Changer, Explainer, Probe, Report, RunningMethod};
use slipway_names::Namespaces;
use slipway_problem::Fault;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::changer::VpnChanger;
use crate::domains::Wanted;
use crate::error::Ended;
use crate::lease_side::Names;
use crate::probe::VpnProbe;
use crate::reach::set;

/// Connected laptop. Dropping it ends its tasks, and with its keeper the lease.
pub(crate) struct Running {
    pub(crate) capture: Arc<Capture>,
    pub(crate) names: Names,
    /// What determines the domains of the lease.
    pub(crate) wanted: watch::Sender<Wanted>,
    pub(crate) changer: Arc<VpnChanger>,
    pub(crate) probe: Arc<VpnProbe>,
    pub(crate) report: watch::Receiver<Report>,
    pub(crate) ended: watch::Receiver<Option<Arc<Ended>>>,
    pub(crate) tasks: JoinSet<()>,
}

impl RunningMethod for Running {
    fn report(&self) -> watch::Receiver<Report> {
        self.report.clone()
    }

    fn set_namespaces(&self, namespaces: Namespaces) {
        self.names
            .change_scope(|scope| scope.namespaces = namespaces.clone());
        self.wanted
            .send_if_modified(|wanted| set(&mut wanted.namespaces, namespaces));
    }

    fn forget_answers(&self) {
        self.names.flush();
    }

    fn explainer(&self) -> Arc<dyn Explainer> {
        Arc::new(self.names.clone())
    }

    fn changer(&self) -> Arc<dyn Changer> {
        self.changer.clone()
    }

    fn probe(&self) -> Option<Arc<dyn Probe>> {
        Some(self.probe.clone())
    }

    fn ended(&self) -> BoxFuture<'static, Problem> {
        let mut ended = self.ended.clone();
        let problem = async move {
            match ended.wait_for(Option::is_some).await.as_deref() {
                Ok(Some(end)) => end.problem(),
                // The task ended without a reason, for example by a panic.
                Ok(None) | Err(_) => Ended::NamespaceGone.problem(),
            }
        };
        problem.boxed()
    }

    fn stop(mut self: Box<Self>) -> BoxFuture<'static, ()> {
        let stopped = async move {
            // The lease ends with its keeper, so device, routes and DNS end before the private namespace.
            self.tasks.shutdown().await;
            match Arc::try_unwrap(self.capture) {
                Ok(capture) => capture.stop().await,
                Err(shared) => drop(shared),
            }
        };
        stopped.boxed()
    }
}
