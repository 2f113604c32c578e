//! Routes of the laptop, and their origin.

use std::net::IpAddr;

use ipnet::IpNet;

/// Protocol number of the helper's routes in the kernel (rtnetlink(7), `rtm_protocol`).
pub const PROTOCOL: u8 = 201;

/// Route of any table except the kernel's `local`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownRoute {
    /// Destination.
    pub net: IpNet,
    /// Gateways; several for a multipath route.
    pub gateways: Vec<IpAddr>,
    /// Interface index; 0 if there are several interfaces.
    pub index: u32,
    /// Interface name, for people.
    pub device: String,
    /// Origin of the route.
    pub maker: Maker,
    /// Number of its table.
    pub table: u32,
}

/// Destination to which the kernel would send a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteTo {
    /// This laptop: a loopback address, or an address of one of its devices.
    Local,
    /// The destination of this route.
    By(KnownRoute),
    /// None: no route matches, or the route forbids it.
    None,
}

/// Origin of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Maker {
    /// The kernel, from an address: the laptop is attached to the network.
    Kernel,
    /// Slipway's helper: the route leads to a cluster.
    Helper,
    /// Another program: a VPN, a DHCP client, an administrator's command.
    Other,
}
