//! Ranges: networks that may be routed into a tunnel.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

/// Network that may be routed into a tunnel on any laptop.
///
/// Its host bits are zero. It is never as wide as a default route or its halves, and does not overlap addresses that a
/// laptop needs for itself: loopback, link-local (with the cloud's metadata address), multicast, and the reserved
/// blocks. The helper decides whether *this* laptop and *this* user may route it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "IpNet", into = "IpNet")]
pub struct TunnelCidr(IpNet);

impl TunnelCidr {
    /// Returns a single address, as a `/32` or `/128`.
    ///
    /// # Errors
    /// [`RangeError::Reserved`] if a laptop needs the address for itself.
    pub fn single(address: IpAddr) -> Result<Self, RangeError> {
        Self::try_from(IpNet::from(address))
    }

    /// Returns the network.
    #[must_use]
    pub fn net(&self) -> IpNet {
        self.0
    }

    /// Returns whether this is a single address.
    #[must_use]
    pub fn is_single(&self) -> bool {
        self.0.prefix_len() == self.0.max_prefix_len()
    }

    /// Returns whether the address is in this network.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address)
    }

    /// Returns whether the two networks share an address. Networks of different families never do.
    #[must_use]
    pub fn overlaps(&self, other: IpNet) -> bool {
        overlap(self.0, other)
    }

    /// Returns the fewest networks that cover this one without `hole`, empty if `hole` covers it. Use it to ask again
    /// after [`crate::HelperRefusal::Conflicts`].
    #[must_use]
    pub fn without(&self, hole: IpNet) -> Vec<Self> {
        if !self.overlaps(hole) {
            return vec![*self];
        }
        let mut kept = Vec::new();
        let mut rest = self.0;
        // Halve towards the hole and keep the half beside it; at most 128 rounds, because each lengthens the prefix.
        while rest != hole && rest.contains(&hole) {
            let Ok(mut halves) = rest.subnets(rest.prefix_len().saturating_add(1)) else {
                break;
            };
            let (Some(low), Some(high)) = (halves.next(), halves.next()) else {
                break;
            };
            let (inside, beside) = if low.contains(&hole) {
                (low, high)
            } else {
                (high, low)
            };
            kept.push(Self(beside));
            rest = inside;
        }
        kept.sort_unstable();
        kept
    }
}

impl TryFrom<IpNet> for TunnelCidr {
    type Error = RangeError;

    fn try_from(net: IpNet) -> Result<Self, Self::Error> {
        if net.trunc() != net {
            return Err(RangeError::HostBits {
                given: net,
                canonical: net.trunc(),
            });
        }
        let shortest = match net {
            IpNet::V4(_) => SHORTEST_V4,
            IpNet::V6(_) => SHORTEST_V6,
        };
        if net.prefix_len() < shortest {
            return Err(RangeError::TooWide { given: net, shortest });
        }
        if let Some(reserved) = RESERVED.iter().find(|reserved| overlap(net, reserved.net)) {
            return Err(RangeError::Reserved {
                given: net,
                reserved: reserved.net,
                meaning: reserved.meaning,
            });
        }
        Ok(Self(net))
    }
}

impl From<TunnelCidr> for IpNet {
    fn from(cidr: TunnelCidr) -> Self {
        cidr.0
    }
}

impl FromStr for TunnelCidr {
    type Err = RangeError;

    /// Reads `10.96.0.0/16`, or a bare address as a single one.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let net = text
            .parse::<IpNet>()
            .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
            .map_err(|_| RangeError::Unreadable)?;
        Self::try_from(net)
    }
}

impl fmt::Display for TunnelCidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Reason why no laptop may route a network into a tunnel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// Not a network in CIDR notation.
    #[error("not a network such as 10.96.0.0/16")]
    Unreadable,
    /// Bits after the prefix are set, so the text may be a mistake.
    #[error("{given} is not the start of a network: write {canonical}")]
    HostBits {
        /// The given network.
        given: IpNet,
        /// The same network without host bits.
        canonical: IpNet,
    },
    /// Too wide: it would cover much of the Internet.
    #[error("{given} is too wide to route into a tunnel: use prefixes of /{shortest} or longer")]
    TooWide {
        /// The given network.
        given: IpNet,
        /// The shortest allowed prefix of its address family.
        shortest: u8,
    },
    /// Overlaps a block that the laptop needs for itself.
    #[error("{given} overlaps {reserved} ({meaning}), which stays on the laptop")]
    Reserved {
        /// The given network.
        given: IpNet,
        /// The reserved block.
        reserved: IpNet,
        /// Use of the block.
        meaning: &'static str,
    },
}

/// Shortest prefix for IPv4: the widest private block is 10.0.0.0/8.
const SHORTEST_V4: u8 = 8;
/// Shortest prefix for IPv6: the size that a registry gives to one provider.
const SHORTEST_V6: u8 = 32;

struct Reserved {
    net: IpNet,
    meaning: &'static str,
}

const fn v4(a: u8, b: u8, prefix: u8, meaning: &'static str) -> Reserved {
    Reserved {
        net: IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, 0, 0), prefix)),
        meaning,
    }
}

const fn v6(first: u16, sixth: u16, prefix: u8, meaning: &'static str) -> Reserved {
    let address = Ipv6Addr::new(first, 0, 0, 0, 0, sixth, 0, 0);
    Reserved {
        net: IpNet::V6(Ipv6Net::new_assert(address, prefix)),
        meaning,
    }
}

/// Blocks of the IANA special-purpose registries (RFC 6890) that mean "this host" or "this link".
const RESERVED: &[Reserved] = &[
    v4(0, 0, 8, "this network"),
    v4(127, 0, 8, "loopback"),
    v4(169, 254, 16, "link-local, with cloud metadata"),
    v4(224, 0, 4, "multicast"),
    v4(240, 0, 4, "reserved and broadcast"),
    // ::, ::1 and the deprecated IPv4-compatible addresses.
    v6(0, 0, 96, "unspecified and loopback"),
    v6(0, 0xffff, 96, "IPv4-mapped"),
    v6(0xfe80, 0, 10, "link-local"),
    v6(0xfec0, 0, 10, "site-local, deprecated"),
    v6(0xff00, 0, 8, "multicast"),
];

fn overlap(one: IpNet, other: IpNet) -> bool {
    one.contains(&other) || other.contains(&one)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<TunnelCidr, RangeError> {
        text.parse()
    }

    #[test]
    fn accepts_what_clusters_use() {
        for text in [
            "10.0.0.0/8",
            "172.16.0.0/12",
            "192.168.4.0/24",
            "100.64.0.0/10",
            "198.18.7.0/30",
            "8.8.8.8/32",
        ] {
            assert_eq!(parse(text).map(|cidr| cidr.to_string()), Ok(text.to_owned()));
        }
        for text in ["fd00:10:96::/112", "2a00:1450:4001::1/128", "fc00::/32"] {
            assert_eq!(parse(text).map(|cidr| cidr.to_string()), Ok(text.to_owned()));
        }
        assert_eq!(
            parse("10.96.0.10").map(|cidr| cidr.to_string()),
            Ok("10.96.0.10/32".to_owned())
        );
    }

    #[test]
    fn refuses_default_routes_and_their_halves() {
        for text in [
            "0.0.0.0/0",
            "0.0.0.0/1",
            "128.0.0.0/1",
            "64.0.0.0/2",
            "::/0",
            "8000::/1",
            "2000::/3",
            "fc00::/7",
        ] {
            assert!(matches!(parse(text), Err(RangeError::TooWide { .. })), "{text}");
        }
    }

    #[test]
    fn refuses_what_the_laptop_needs_for_itself() {
        for text in [
            "0.0.0.0/8",
            "0.0.0.0/32",
            "127.0.0.1/32",
            "169.254.169.254/32",
            "224.0.0.251/32",
            "239.0.0.0/8",
            "240.0.0.0/8",
            "255.255.255.255/32",
            "::/128",
            "::1/128",
            "::10.0.0.1/128",
            "::ffff:10.0.0.1/128",
            "fe80::1/128",
            "fec0::/32",
            "ff02::fb/128",
        ] {
            assert!(
                matches!(parse(text), Err(RangeError::Reserved { .. })),
                "{text}: {:?}",
                parse(text)
            );
        }
    }

    #[test]
    fn refuses_host_bits_and_names_the_network() {
        let refused = parse("10.96.0.1/16").expect_err("host bits");
        assert_eq!(
            refused.to_string(),
            "10.96.0.1/16 is not the start of a network: write 10.96.0.0/16"
        );
        assert_eq!(parse("eth0"), Err(RangeError::Unreadable));
    }

    #[test]
    fn json_is_checked_like_text() {
        let good: TunnelCidr = serde_json::from_str("\"10.96.0.0/16\"").expect("canonical");
        assert_eq!(serde_json::to_string(&good).expect("text"), "\"10.96.0.0/16\"");
        assert!(serde_json::from_str::<TunnelCidr>("\"0.0.0.0/0\"").is_err());
        assert!(serde_json::from_str::<TunnelCidr>("\"10.96.0.1/16\"").is_err());
    }

    #[test]
    fn a_hole_leaves_everything_else() {
        let range = parse("10.0.0.0/8").expect("range");
        let hole = "10.1.0.0/16".parse().expect("hole");
        let kept = range.without(hole);
        assert_eq!(kept.len(), 8);
        assert!(kept.iter().all(|part| !part.overlaps(hole)));
        let size = |net: IpNet| 1u64 << (net.max_prefix_len() - net.prefix_len());
        assert_eq!(
            kept.iter().map(|part| size(part.net())).sum::<u64>(),
            size(range.net()) - size(hole)
        );
        assert_eq!(range.without("10.0.0.0/8".parse().expect("all")), []);
        assert_eq!(range.without("0.0.0.0/0".parse().expect("more")), []);
        assert_eq!(range.without("fd00::/8".parse().expect("other family")), [range]);
    }

    proptest! {
        #[test]
        fn accepted_means_disjoint_from_everything_reserved(bits: u128, prefix in 0u8..=128, v6: bool) {
            let net = if v6 {
                IpNet::from(Ipv6Net::new(Ipv6Addr::from_bits(bits), prefix).expect("prefix")).trunc()
            } else {
                let bits = u32::try_from(bits >> 96).expect("32 bits");
                IpNet::from(Ipv4Net::new(Ipv4Addr::from_bits(bits), prefix % 33).expect("prefix")).trunc()
            };
            if let Ok(accepted) = TunnelCidr::try_from(net) {
                prop_assert!(RESERVED.iter().all(|reserved| !accepted.overlaps(reserved.net)));
                for address in [net.network(), net.broadcast()] {
                    prop_assert!(!address.is_loopback() && !address.is_multicast() && !address.is_unspecified());
                }
                prop_assert!(net.prefix_len() >= 8);
            }
        }

        #[test]
        fn parsing_any_text_returns(text in "\\PC{0,60}") {
            let _ = text.parse::<TunnelCidr>();
        }
    }
}
