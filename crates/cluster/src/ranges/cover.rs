//! Ranges that cover single addresses.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Widest IPv4 range that is derived from observed addresses: the pod range of a cluster of default size. A wider one
/// might contain neighbors such as an office network; addresses outside are learned from DNS answers.
const WIDEST_V4: u8 = 16;

/// Widest IPv6 range that is derived from observed addresses: one node's share of pods.
const WIDEST_V6: u8 = 64;

/// Range for a single private IPv4 address: a node's usual share of pods.
const SEED_V4: u8 = 24;

/// Range for a single private IPv6 address: about a small service range.
const SEED_V6: u8 = 112;

/// Widest declared IPv4 range that is accepted. A wider one is a mistake, and would cut the laptop off from its networks.
const PLAUSIBLE_V4: u8 = 8;

/// Widest declared IPv6 range that is accepted: the allocation of an organization.
const PLAUSIBLE_V6: u8 = 32;

/// Covers addresses narrowly. Each private address gets the range around it. Ranges that share a parent no wider than a
/// /16 (IPv6: /64) are joined to the smallest range that contains them. A public address stays alone. Addresses of the
/// host itself or its link are left out.
pub fn cover(addresses: &[IpAddr]) -> Vec<IpNet> {
    let mut ranges: Vec<IpNet> = addresses.iter().filter_map(|address| seed(*address)).collect();
    ranges.sort_unstable();
    ranges.dedup();
    let mut covered: Vec<IpNet> = Vec::new();
    for range in ranges {
        match covered.last().and_then(|last| join(*last, range)) {
            Some(joined) => {
                covered.pop();
                covered.push(joined);
            }
            None => covered.push(range),
        }
    }
    merge(&covered)
}

/// Sorts ranges, drops those inside others, and joins halves of one range. Adds no address.
pub fn merge(ranges: &[IpNet]) -> Vec<IpNet> {
    let truncated: Vec<IpNet> = ranges.iter().map(IpNet::trunc).collect();
    let mut merged = IpNet::aggregate(&truncated);
    merged.sort_unstable();
    merged
}

/// Returns whether a declared range can belong to a cluster.
pub(super) fn is_plausible(range: &IpNet) -> bool {
    let wide_enough_to_doubt = match range {
        IpNet::V4(range) => range.prefix_len() < PLAUSIBLE_V4,
        IpNet::V6(range) => range.prefix_len() < PLAUSIBLE_V6,
    };
    !wide_enough_to_doubt && is_routable(range.addr())
}

fn seed(address: IpAddr) -> Option<IpNet> {
    if !is_routable(address) {
        return None;
    }
    let prefix = match address {
        IpAddr::V4(_) if is_private(address) => SEED_V4,
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) if is_private(address) => SEED_V6,
        IpAddr::V6(_) => 128,
    };
    Some(IpNet::new(address, prefix).ok()?.trunc())
}

/// Returns the smallest range that contains both, if it is narrow enough.
fn join(one: IpNet, other: IpNet) -> Option<IpNet> {
    if !is_private(one.addr()) || !is_private(other.addr()) {
        return None;
    }
    match (one, other) {
        (IpNet::V4(one), IpNet::V4(other)) => {
            let differing = u32::from(one.network()) ^ u32::from(other.broadcast());
            let prefix = u8::try_from(differing.leading_zeros()).ok()?;
            let joined = Ipv4Net::new(one.network(), prefix).ok()?.trunc();
            (prefix >= WIDEST_V4).then_some(IpNet::V4(joined))
        }
        (IpNet::V6(one), IpNet::V6(other)) => {
            let differing = u128::from(one.network()) ^ u128::from(other.broadcast());
            let prefix = u8::try_from(differing.leading_zeros()).ok()?;
            let joined = Ipv6Net::new(one.network(), prefix).ok()?.trunc();
            (prefix >= WIDEST_V6).then_some(IpNet::V6(joined))
        }
        (IpNet::V4(_), IpNet::V6(_)) | (IpNet::V6(_), IpNet::V4(_)) => None,
    }
}

/// Returns whether an address is for private use: RFC 1918, the shared space of RFC 6598, which cloud clusters use for
/// pods, and RFC 4193 for IPv6.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [first, second, ..] = address.octets();
            address.is_private() || (first == 100 && (64..128).contains(&second))
        }
        IpAddr::V6(address) => address.is_unique_local(),
    }
}

fn is_routable(address: IpAddr) -> bool {
    let local = match address {
        IpAddr::V4(address) => address.is_link_local() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    !(local || address.is_loopback() || address.is_multicast() || address.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(text: &[&str]) -> Vec<IpAddr> {
        text.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn ranges(text: &[&str]) -> Vec<IpNet> {
        text.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn one_private_address_gets_the_range_around_it() {
        assert_eq!(cover(&addresses(&["10.244.3.17"])), ranges(&["10.244.3.0/24"]));
        assert_eq!(cover(&addresses(&["100.64.9.1"])), ranges(&["100.64.9.0/24"]));
        assert_eq!(
            cover(&addresses(&["fd00:10:96::a"])),
            ranges(&["fd00:10:96::/112"])
        );
    }

    #[test]
    fn neighbors_become_one_range_that_just_holds_them() {
        assert_eq!(
            cover(&addresses(&["10.96.0.1", "10.96.0.10"])),
            ranges(&["10.96.0.0/24"])
        );
        assert_eq!(
            cover(&addresses(&["10.244.0.5", "10.244.1.9", "10.244.2.3"])),
            ranges(&["10.244.0.0/22"])
        );
        assert_eq!(
            cover(&addresses(&["10.96.0.1", "10.96.200.3"])),
            ranges(&["10.96.0.0/16"])
        );
    }

    #[test]
    fn observation_never_gives_more_than_a_sixteenth_prefix() {
        let observed = addresses(&["10.96.0.1", "10.111.4.5", "10.100.9.9"]);
        assert_eq!(
            cover(&observed),
            ranges(&["10.96.0.0/24", "10.100.9.0/24", "10.111.4.0/24"])
        );
        let observed = addresses(&["fd00::1", "fd00:0:0:1::1"]);
        assert_eq!(cover(&observed), ranges(&["fd00::/112", "fd00:0:0:1::/112"]));
    }

    #[test]
    fn public_addresses_stay_alone() {
        let observed = addresses(&["198.51.100.7", "198.51.100.9", "2001:db8::5"]);
        assert_eq!(
            cover(&observed),
            ranges(&["198.51.100.7/32", "198.51.100.9/32", "2001:db8::5/128"])
        );
        let edge = addresses(&["172.31.255.9", "172.32.0.1"]);
        assert_eq!(cover(&edge), ranges(&["172.31.255.0/24", "172.32.0.1/32"]));
    }

    #[test]
    fn addresses_of_the_host_itself_are_left_out() {
        let local = [
            "127.0.0.1",
            "169.254.1.1",
            "0.0.0.0",
            "224.0.0.5",
            "255.255.255.255",
            "::1",
            "fe80::1",
            "ff02::1",
        ];
        assert_eq!(cover(&addresses(&local)), []);
    }

    #[test]
    fn every_address_is_covered_in_any_order() {
        let mut observed = addresses(&[
            "10.1.2.3",
            "192.168.7.9",
            "10.1.200.1",
            "8.8.8.8",
            "fd12::9",
            "172.20.0.1",
        ]);
        let covered = cover(&observed);
        assert!(
            observed
                .iter()
                .all(|address| covered.iter().any(|range| range.contains(address)))
        );
        observed.reverse();
        assert_eq!(cover(&observed), covered);
    }

    #[test]
    fn merging_adds_no_address() {
        let merged = merge(&ranges(&[
            "10.244.1.0/24",
            "10.244.0.0/24",
            "10.244.0.7/32",
            "10.244.4.0/24",
        ]));
        assert_eq!(merged, ranges(&["10.244.0.0/23", "10.244.4.0/24"]));
    }

    #[test]
    fn a_range_that_covers_everything_is_rejected() {
        for wide in ["0.0.0.0/0", "10.0.0.0/7", "::/0", "fd00::/8", "127.0.0.0/8"] {
            assert!(!is_plausible(&wide.parse().unwrap()), "{wide}");
        }
        for usual in ["10.0.0.0/8", "10.96.0.0/12", "fd00:10::/108"] {
            assert!(is_plausible(&usual.parse().unwrap()), "{usual}");
        }
    }
}
