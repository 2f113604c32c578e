//! Connection that a method is started with: the tunnel, and what of the cluster goes through it.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use slipway_names::Observer;
use slipway_profile::{AlsoProxy, Profile};
use slipway_tunnel::{PacketReply, Tunnel};
use tokio::sync::mpsc;

use crate::name_plan::NamePlan;
use crate::upstreams::Elders;

/// What a method is started with.
pub struct Connection {
    /// Leads to the agent, and outlives it.
    pub tunnel: Tunnel,
    /// What comes back for the programs' packets.
    pub packets: mpsc::Receiver<PacketReply>,
    /// The rules about names.
    pub names: NamePlan,
    /// The networks that go through the tunnel.
    pub networks: Networks,
    /// Is told of every answered question.
    pub observer: Observer,
    /// The sessions whose names go before this one's, for methods whose programs are served by several.
    pub elders: Arc<dyn Elders>,
}

/// Networks that go through the tunnel, by whose word they do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks {
    /// Those that the cluster declares as its own.
    pub declared: Vec<IpNet>,
    /// Those that the user sends there.
    pub users: Vec<IpNet>,
    /// Addresses that never go there, whatever network they lie in: they carry the tunnel itself.
    pub never: Vec<IpAddr>,
}

impl Networks {
    /// The networks of a cluster and a profile. `never` are the addresses by which the laptop reaches the API server.
    #[must_use]
    pub fn new(declared: Vec<IpNet>, profile: &Profile, never: Vec<IpAddr>) -> Self {
        let users = profile.also_proxy.iter().filter_map(|extra| match extra {
            AlsoProxy::Ip(address) => Some((*address).into()),
            AlsoProxy::Cidr(range) => Some(*range),
            AlsoProxy::Host(_) => None,
        });
        Self {
            declared,
            users: users.collect(),
            never,
        }
    }
}
