//! Link: the part of a session that stays while agents come and go.

use std::sync::Arc;

use futures_util::stream::BoxStream;
use slipway_tunnel::Tunnel;
use slipway_tunnel::frame::Farewell;
use tokio::sync::mpsc;

use crate::agent_watch::AgentWatch;
use crate::cluster::{Cluster, Facts};
use crate::context::SessionContext;
use crate::login::LoginWatch;
use crate::losses::Losses;
use crate::name_events::Unseen;

/// Cluster, facts and tunnel of a session, which outlive each agent.
pub(crate) struct Link<C> {
    pub(crate) cluster: Arc<C>,
    pub(crate) facts: Facts,
    pub(crate) tunnel: Tunnel,
    /// Farewells of agents.
    pub(crate) farewells: mpsc::Receiver<Farewell>,
    /// Random number that identifies this run of the session to its agents.
    pub(crate) run: u64,
    /// An item for each change of the laptop's addresses.
    pub(crate) address_changes: BoxStream<'static, ()>,
    /// Publishes the problems of the login.
    pub(crate) _login: LoginWatch,
    /// Name that the session asks for itself.
    pub(crate) unseen: Unseen,
    /// Agents that were lost.
    pub(crate) losses: Losses,
}

impl<C: Cluster> Link<C> {
    /// Remembers in the status that an agent was lost. Must be called before its streams are failed, which it counts.
    pub(crate) fn remember_loss(&mut self, pod: &str, watch: &AgentWatch, context: &SessionContext) {
        let broken = u32::try_from(self.tunnel.stats().streams).unwrap_or(u32::MAX);
        self.losses.record(pod, watch, broken, &context.publisher);
    }
}
