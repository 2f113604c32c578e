//! Union of networks.

use ipnet::IpNet;

/// Union of networks: adjacent ones count as one network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Union(
    /// Disjoint networks, as wide as possible, in order.
    Vec<IpNet>,
);

impl Union {
    /// Returns whether every address of the network is in the union.
    #[must_use]
    pub fn contains(&self, net: IpNet) -> bool {
        let (before, _) = self.beside(net);
        before.is_some_and(|one| one.contains(&net))
    }

    /// Returns whether any address of the network is in the union.
    #[must_use]
    pub fn overlaps(&self, net: IpNet) -> bool {
        let (before, after) = self.beside(net);
        before.is_some_and(|one| one.contains(&net) || net.contains(&one))
            || after.is_some_and(|one| net.contains(&one))
    }

    /// Returns the last network that does not start after this one, and the next.
    fn beside(&self, net: IpNet) -> (Option<IpNet>, Option<IpNet>) {
        let (before, after) = self
            .0
            .split_at(self.0.partition_point(|one| one.network() <= net.network()));
        (before.last().copied(), after.first().copied())
    }
}

impl FromIterator<IpNet> for Union {
    fn from_iter<I: IntoIterator<Item = IpNet>>(nets: I) -> Self {
        let mut all = IpNet::aggregate(&nets.into_iter().collect());
        all.sort_unstable();
        Self(all)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use ipnet::Ipv4Net;
    use proptest::prelude::*;

    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    #[test]
    fn adjacent_networks_are_one() {
        let union = Union::from_iter(["10.128.0.0/9", "10.0.0.0/9", "fd00::/64"].map(net));
        assert!(union.contains(net("10.0.0.0/8")) && union.contains(net("fd00::1/128")));
        assert!(!union.contains(net("8.0.0.0/6")) && union.overlaps(net("8.0.0.0/6")));
        assert!(!union.overlaps(net("11.0.0.0/8")) && !union.overlaps(net("fd01::/64")));
        assert!(!Union::default().overlaps(net("0.0.0.0/0")));
    }

    fn any_net() -> impl Strategy<Value = Ipv4Net> {
        // Few bits, so that networks meet.
        (0u32..64, 26u8..=32)
            .prop_map(|(bits, prefix)| Ipv4Net::new(Ipv4Addr::from_bits(bits), prefix).unwrap().trunc())
    }

    proptest! {
        #[test]
        fn a_union_has_the_addresses_of_its_networks(
            nets in prop::collection::vec(any_net(), 0..8),
            other in any_net(),
        ) {
            let union = Union::from_iter(nets.iter().copied().map(IpNet::from));
            let is_in = |address: Ipv4Addr| nets.iter().any(|net| net.contains(&address));
            let mut addresses = (u32::from(other.network())..=u32::from(other.broadcast())).map(Ipv4Addr::from_bits);
            prop_assert_eq!(union.contains(other.into()), addresses.clone().all(is_in));
            prop_assert_eq!(union.overlaps(other.into()), addresses.any(is_in));
            let address = IpNet::from(IpAddr::V4(other.network()));
            prop_assert_eq!(union.contains(address), union.overlaps(address));
        }
    }
}
