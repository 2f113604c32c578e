//! Trait of a method, before it is started and while it runs.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use slipway_control_api::{CaptureStatus, Problem};
use slipway_names::Namespaces;
use tokio::sync::watch;

use crate::connection::Connection;
use crate::explainer::Explainer;

/// A way of capturing programs that has not been started. Its errors are [`Problem`]s: a session reports them and does
/// not tell one from another.
pub trait Method: Send + Sync {
    /// Whether this laptop has what the method needs. Cheap: it is asked before anything is made in the cluster.
    ///
    /// # Errors
    ///
    /// The problem with which [`start`](Self::start) would fail, as far as it can be known beforehand.
    fn check(&self) -> BoxFuture<'_, Result<(), Problem>>;

    /// Starts the capture. When this returns, programs reach the cluster by name. Dropping the future takes away what it
    /// has made so far.
    ///
    /// # Errors
    ///
    /// Why programs cannot be captured; nothing is left then.
    fn start(
        self: Box<Self>,
        connection: Connection,
    ) -> BoxFuture<'static, Result<Box<dyn RunningMethod>, Problem>>;
}

/// A method that captures programs. Dropping it takes everything away that it made on the laptop.
///
/// It outlives the agent: while there is none, what programs open waits in the tunnel.
pub trait RunningMethod: Send + Sync {
    /// What the method says of itself, as it changes.
    fn report(&self) -> watch::Receiver<Report>;

    /// Takes the cluster's namespaces as they are now.
    fn set_namespaces(&self, namespaces: Namespaces);

    /// Forgets answers about names, because the cluster was out of reach and may have changed.
    fn forget_answers(&self);

    /// What explains names, apart from this value and for as long as it is held.
    fn explainer(&self) -> Arc<dyn Explainer>;

    /// Waits until the method ends by itself, and says why.
    fn ended(&self) -> BoxFuture<'static, Problem>;

    /// Takes everything away and waits until it is gone.
    fn stop(self: Box<Self>) -> BoxFuture<'static, ()>;
}

/// What a running method says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// How programs are captured.
    pub capture: CaptureStatus,
    /// What is wrong although it goes on, the gravest first.
    pub problems: Vec<Problem>,
}
