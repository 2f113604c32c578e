//! Traits of a method: before its start, and while it runs.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use slipway_control_api::{CaptureStatus, Problem};
use slipway_names::{Name, Namespaces};
use tokio::sync::watch;

use crate::additions::Additions;
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

    /// Returns the changer of what the user sends to the cluster. It may outlive this value, and does nothing then.
    fn changer(&self) -> Arc<dyn Changer>;

    /// Returns the probe from the side of programs; `None` if only programs themselves can make one.
    fn probe(&self) -> Option<Arc<dyn Probe>>;

    /// Waits until the method ends by itself, and returns the reason.
    fn ended(&self) -> BoxFuture<'static, Problem>;

    /// Ends the method and waits until everything is undone.
    fn stop(self: Box<Self>) -> BoxFuture<'static, ()>;
}

/// Changer of what the user sends to the cluster, in a running method.
pub trait Changer: Send + Sync {
    /// Replaces what the user sends to the cluster. When this returns, names, routes and the laptop's resolver follow it, as
    /// far as nothing on the laptop contradicts it. Returns the problems with which the method continues, as its report has
    /// them.
    fn change(&self, additions: Additions) -> BoxFuture<'_, Vec<Problem>>;
}

/// Probe from the side of programs that a method captures.
pub trait Probe: Send + Sync {
    /// Looks up a name of the cluster and connects to its first address in the way in which captured programs do, within a
    /// limited time.
    ///
    /// # Errors
    /// The problem that programs have.
    fn probe<'a>(&'a self, name: &'a Name, port: u16) -> BoxFuture<'a, Result<Probed, Problem>>;
}

/// Result of a probe that found no new problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probed {
    /// Programs find and reach the name.
    Reached,
    /// It says nothing: the cluster does not have the name now, or the method's report has the problem already.
    Unknown,
}

/// Report of a running method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Status of the capture.
    pub capture: CaptureStatus,
    /// Problems with which the method continues, the most severe first.
    pub problems: Vec<Problem>,
}
