//! Ranges as data: who else uses a network of a session, and where its packets go.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::session_id::SessionId;

/// A network that a session would have, beside the networks of this laptop that overlap it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RangeFacts {
    /// The network.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub range: IpNet,
    /// Why the session would have it.
    pub origin: RangeOrigin,
    /// Where its packets go while a session of this profile is connected. If they go to several places, the one that is not
    /// the cluster.
    pub goes_to: RangeWinner,
    /// Networks that overlap it, sorted by address.
    pub overlaps: Vec<Overlap>,
}

/// Why a session has a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum RangeOrigin {
    /// The cluster's services have its addresses.
    Services,
    /// The cluster's pods have its addresses.
    Pods,
    /// The profile's `also-proxy` names it.
    AlsoProxy,
    /// A reason that this version does not know.
    #[serde(other)]
    Unknown,
}

/// Where the packets of a network go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum RangeWinner {
    /// To the cluster.
    Cluster,
    /// To a session that is connected now.
    Session,
    /// To a network of the laptop, or to another VPN.
    Laptop,
    /// To a place that this version does not know.
    #[serde(other)]
    Unknown,
}

/// A network that overlaps one of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Overlap {
    /// The network, or one address.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub net: IpNet,
    /// The device to which the laptop sends its packets; `null` if there is none.
    pub device: Option<String>,
    /// Whose it is.
    pub holder: NetworkHolder,
    /// Whether packets to addresses in both go to the holder and not to the cluster.
    pub wins: bool,
}

/// Whose a network is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum NetworkHolder {
    /// The laptop is attached to the network: a LAN, a bridge of containers.
    Attached,
    /// The laptop reaches other networks through this address.
    Gateway,
    /// The laptop asks this address for names.
    NameServer,
    /// Another program routes it, such as a VPN or a DHCP client.
    Routed,
    /// A routing rule sends its packets elsewhere before Slipway's routes are looked at.
    Rule {
        /// The rule, as `ip rule` shows it.
        rule: String,
    },
    /// A session has it now.
    Session {
        /// The session; `null` if it is not known.
        session: Option<SessionId>,
        /// The session's profile, if it was started with one.
        profile: Option<String>,
    },
    /// The `also-proxy` of another saved profile names it. Of two sessions with the same network, the one that connected
    /// first has it.
    Profile {
        /// The profile.
        profile: String,
    },
    /// A holder that this version does not know.
    #[serde(other)]
    Unknown,
}

/// Routes of the laptop, against which a session's networks can be drawn.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Layout {
    /// The routes of all tables, sorted by address, the wider one first; without multicast and link-local ones.
    pub routes: Vec<LaptopRoute>,
    /// How many further routes there are.
    pub more: usize,
}

impl Layout {
    /// Maximum number of routes in a layout.
    pub const MOST_ROUTES: usize = 256;
}

/// A route of the laptop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LaptopRoute {
    /// The destination.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub net: IpNet,
    /// The device; `null` if there are several or none.
    pub device: Option<String>,
    /// The gateways; often none.
    pub gateways: Vec<IpAddr>,
    /// Whose it is.
    pub holder: NetworkHolder,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_holder_is_read() {
        let text = r#"{"net":"10.0.0.0/8","device":null,"holder":{"is":"moon","phase":3},"wins":true}"#;
        let overlap: Overlap = serde_json::from_str(text).unwrap();
        assert_eq!(overlap.holder, NetworkHolder::Unknown);
    }
}
