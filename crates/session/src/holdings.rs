//! What a session has: each state adds to it or takes from it, and all of it is gone when this is dropped.

use std::net::IpAddr;

use slipway_cluster::kubeconfig::Target;
use slipway_cluster::placement::Agent;
use slipway_cluster::ranges::Ranges;
use slipway_names::Namespaces;
use slipway_tunnel::{Key, TunnelEvent};
use slipway_vpn_tcp::{Reach, VpnTcp};
use tokio::sync::{mpsc, watch};

use crate::addresses::Addresses;
use crate::carriers::{Carriers, Way};
use crate::namespaces::Followed;
use crate::problems::Problems;

/// What a session has at a moment; all of it is gone when this is dropped.
#[derive(Default)]
pub(crate) struct Holdings {
    pub(crate) prepared: Option<Prepared>,
    pub(crate) placed: Option<Placed>,
    pub(crate) live: Option<Live>,
}

/// What is known before anything was made.
pub(crate) struct Prepared {
    pub(crate) target: Target,
    pub(crate) way: Way,
    pub(crate) events: mpsc::Receiver<TunnelEvent>,
    pub(crate) ranges: Ranges,
    pub(crate) namespaces: Namespaces,
    /// What carries the session itself and so must never go through it.
    pub(crate) own_way: OwnWay,
}

/// The API server, or the proxy before it, as the laptop reaches it.
#[derive(Debug, Default)]
pub(crate) struct OwnWay {
    pub(crate) names: Vec<String>,
    pub(crate) addresses: Vec<IpAddr>,
}

/// The agent and what proves us to it.
pub(crate) struct Placed {
    pub(crate) agent: Agent,
    pub(crate) key: Key,
    /// Whether it was there before this session.
    pub(crate) found: bool,
}

/// What a connected session has.
pub(crate) struct Live {
    pub(crate) carriers: Carriers,
    /// Names the run of the agent.
    pub(crate) instance: u64,
    pub(crate) method: VpnTcp,
    /// What is wrong although the session is connected.
    pub(crate) problems: Problems,
    /// The cluster's namespaces as they come and go.
    pub(crate) namespaces: Followed,
    /// The laptop's.
    pub(crate) addresses: Addresses,
    /// Whether the cluster was asked for the profile's extra hosts.
    pub(crate) hosts_checked: bool,
    /// What of the cluster can be reached on this laptop.
    pub(crate) reach: watch::Receiver<Reach>,
}
