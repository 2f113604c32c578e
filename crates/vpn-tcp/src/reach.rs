//! Reach of a lease: what goes to the cluster, and what does not although it should.

use ipnet::IpNet;

use crate::plan::Warning;
use crate::withheld::Withheld;

/// What a lease has come to. Published anew whenever it changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reach {
    /// The networks that go to the cluster, learned addresses among them, joined where they touch.
    pub(crate) routes: Vec<IpNet>,
    /// What could not be had, and why.
    pub(crate) warnings: Vec<Warning>,
    /// Addresses of cluster answers that programs do not get.
    pub(crate) withheld: Withheld,
    /// Whether the helper is gone for now, which takes the laptop's routes and names with it.
    pub(crate) helper_away: bool,
}
