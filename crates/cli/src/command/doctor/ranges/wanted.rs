//! Networks that a session of a profile would have.

use ipnet::IpNet;
use slipway_cluster::ranges::Ranges;
use slipway_control_api::RangeOrigin;
use slipway_profile::{AlsoProxy, Profile};

/// A network that a session would have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) range: IpNet,
    pub(super) origin: RangeOrigin,
}

impl Wanted {
    /// Returns the cluster's ranges, if it could be asked, and those of the profile.
    pub(super) fn all(learned: Option<&Ranges>, profile: &Profile) -> Vec<Wanted> {
        let of = |origin| move |range: IpNet| Wanted { range, origin };
        let declared = learned.into_iter().flat_map(|ranges| {
            let services = ranges.services.iter().copied().map(of(RangeOrigin::Services));
            services.chain(ranges.pods.iter().copied().map(of(RangeOrigin::Pods)))
        });
        declared
            .chain(of_user(profile).map(of(RangeOrigin::AlsoProxy)))
            .collect()
    }
}

/// Returns the networks and addresses that the profile's `also-proxy` names.
pub(in crate::command::doctor) fn of_user(profile: &Profile) -> impl Iterator<Item = IpNet> {
    profile.also_proxy.iter().filter_map(|also| match also {
        AlsoProxy::Host(_) => None,
        AlsoProxy::Ip(address) => Some(IpNet::from(*address)),
        AlsoProxy::Cidr(range) => Some(*range),
    })
}
