//! Traits of a method: before its start, and while it runs.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use slipway_control_api::{CaptureStatus, Problem};
use slipway_names::Namespaces;
use tokio::sync::watch;

use crate::connection::Connection;
use crate::explainer::Explainer;

/// Method of capturing programs, before its start. Its errors are [`Problem`]s, which a session only reports.
pub trait Method: Send + Sync {
    /// Checks that this laptop meets the method's requirements. Cheap, because a session calls it before it makes
    /// anything in the cluster.
    ///
    /// # Errors
    /// The problem with which [`start`](Self::start) would fail, as far as it is known in advance.
    fn check(&self) -> BoxFuture<'_, Result<(), Problem>>;

    /// Starts the capture. When this returns, programs reach the cluster by name. Dropping the future undoes
    /// everything.
    ///
    /// # Errors
    /// The problem that prevents the capture, after everything was undone.
    fn start(
        self: Box<Self>,
        connection: Connection,
    ) -> BoxFuture<'static, Result<Box<dyn RunningMethod>, Problem>>;
}

/// Running method, which captures programs. Dropping it undoes everything that it did on the laptop.
///
/// It outlives the agent: without one, new connections wait in the tunnel.
pub trait RunningMethod: Send + Sync {
    /// Returns the method's report, which changes.
    fn report(&self) -> watch::Receiver<Report>;

    /// Replaces the cluster's namespaces.
    fn set_namespaces(&self, namespaces: Namespaces);

    /// Drops cached DNS answers, because the cluster was out of reach and may have changed.
    fn forget_answers(&self);

    /// Returns the explainer of names. It may outlive this value.
    fn explainer(&self) -> Arc<dyn Explainer>;

    /// Waits until the method ends by itself, and returns the reason.
    fn ended(&self) -> BoxFuture<'static, Problem>;

    /// Ends the method and waits until everything is undone.
    fn stop(self: Box<Self>) -> BoxFuture<'static, ()>;
}

/// Report of a running method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Status of the capture.
    pub capture: CaptureStatus,
    /// Problems with which the method continues, the most severe first.
    pub problems: Vec<Problem>,
}
