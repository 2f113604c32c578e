//! Reach of a lease: the networks that lead to the cluster, and warnings about those that do not.

use ipnet::IpNet;
use slipway_helper_api::DnsMode;
use slipway_laptop::Overridden;

use crate::left_out::LeftOut;
use crate::plan::Warning;
use crate::withheld::Withheld;

/// Sets a part of the reach. Returns whether it is new.
pub(crate) fn set<T: PartialEq>(part: &mut T, now: T) -> bool {
    let is_new = *part != now;
    *part = now;
    is_new
}

/// Reach of a lease. The keeper publishes it whenever it changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reach {
    /// Networks that lead to the cluster, with learned addresses; adjacent ones are joined.
    pub(crate) routes: Vec<IpNet>,
    /// DNS mode; it changes when the laptop's resolver does.
    pub(crate) dns: Option<DnsMode>,
    /// Number of times that the laptop got other name servers.
    pub(crate) moves: u64,
    /// Networks and domains that do not lead to the cluster.
    pub(crate) warnings: Vec<Warning>,
    /// Parts of the routes whose packets the kernel sends elsewhere.
    pub(crate) overridden: Vec<Overridden>,
    /// Namespaces without a domain in systemd-resolved.
    pub(crate) left_out: Option<LeftOut>,
    /// Addresses of cluster answers that programs do not get.
    pub(crate) withheld: Withheld,
    /// Whether the helper is gone for now, and with it the laptop's routes and DNS settings.
    pub(crate) helper_away: bool,
}
