//! Link to the cluster: what stays while agents come and go.

use std::sync::Arc;

use futures_util::stream::BoxStream;
use slipway_tunnel::Tunnel;
use slipway_tunnel::frame::Farewell;
use tokio::sync::mpsc;

use crate::cluster::Facts;

/// The way to the cluster, which outlives any agent there.
pub(crate) struct Link<C> {
    pub(crate) cluster: Arc<C>,
    pub(crate) facts: Facts,
    pub(crate) tunnel: Tunnel,
    /// What agents say before they leave.
    pub(crate) farewells: mpsc::Receiver<Farewell>,
    /// Names this run of the session to its agents.
    pub(crate) run: u64,
    /// An item whenever the laptop has other addresses.
    pub(crate) address_changes: BoxStream<'static, ()>,
}
