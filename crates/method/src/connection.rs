//! Connection with which a method starts: the tunnel, and the names and networks that lead through it.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use slipway_names::Observer;
use slipway_tunnel::{PacketReply, Tunnel};
use tokio::sync::{mpsc, watch};

use crate::name_plan::NamePlan;
use crate::upstreams::Elders;

/// Connection of a session to the cluster, as its method gets it.
pub struct Connection {
    /// Tunnel to the agent. It outlives agents.
    pub tunnel: Tunnel,
    /// Replies to the packets of programs.
    pub packets: mpsc::Receiver<PacketReply>,
    /// Rules about names.
    pub names: NamePlan,
    /// Networks that lead through the tunnel.
    pub networks: Networks,
    /// Addresses that never lead through the tunnel, even inside these networks, because the session needs them to
    /// reach the cluster. It may find more while it reconnects, which the method takes out of the tunnel at once.
    pub never: watch::Receiver<Vec<IpAddr>>,
    /// Observer of every answered question.
    pub observer: Observer,
    /// Elder sessions, whose answers count first, for methods in which programs use several sessions.
    pub elders: Arc<dyn Elders>,
}

/// Networks that lead through the tunnel, by origin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks {
    /// Networks that the cluster declares.
    pub declared: Vec<IpNet>,
    /// Networks that the user adds.
    pub users: Vec<IpNet>,
}
