//! Routes of the laptop.

use std::net::IpAddr;

use ipnet::IpNet;

/// The number by which the kernel knows routes of Slipway's helper (rtnetlink(7), `rtm_protocol`).
pub const PROTOCOL: u8 = 201;

/// A route of any table but the kernel's own `local`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownRoute {
    /// Where it leads.
    pub net: IpNet,
    /// The gateways that it leads through.
    pub gateways: Vec<IpAddr>,
    /// Interface index; 0 where there are several.
    pub index: u32,
    /// Interface name, for people.
    pub device: String,
    /// Who made it.
    pub maker: Maker,
}

/// Where the kernel would send a packet to an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteTo {
    /// To this laptop itself: a loopback address, or an address of one of its devices.
    Local,
    /// By this route.
    By(KnownRoute),
    /// No route leads there.
    None,
}

/// Who made a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Maker {
    /// The kernel, from an address: the laptop is attached to that network.
    Kernel,
    /// Slipway's helper: it leads to a cluster.
    Helper,
    /// Anyone else: a VPN, a person, DHCP.
    Other,
}
