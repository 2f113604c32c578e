//! The laptop's routes, and which of them a range overlaps.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// Devices with names like this are sessions' own.
const OURS: &str = "slipway";
/// RTF_REJECT of <linux/route.h>: leads nowhere, so nothing is taken from it.
const REJECT: u32 = 0x200;

/// A network that the laptop reaches through a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) network: IpNet,
    pub(crate) device: String,
}

impl Route {
    /// One of a test's.
    #[cfg(test)]
    pub(crate) fn new(network: &str, device: &str) -> Route {
        Route {
            network: network.parse().unwrap(),
            device: device.to_owned(),
        }
    }

    /// Whether it leads into a session.
    pub(crate) fn is_ours(&self) -> bool {
        self.device.starts_with(OURS)
    }
}

/// The laptop's routes, of both families; what cannot be read is left out.
pub(crate) fn of_laptop() -> Vec<Route> {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let mut routes = of_v4(&read("/proc/net/route"));
    routes.extend(of_v6(&read("/proc/net/ipv6_route")));
    routes
}

/// The routes in the text of /proc/net/route: `Iface Destination Gateway Flags RefCnt Use Metric Mask ...`, addresses
/// in hexadecimal of the machine's byte order.
fn of_v4(text: &str) -> Vec<Route> {
    let route = |line: &str| {
        let mut fields = line.split_whitespace();
        let device = fields.next()?;
        let destination = address_v4(fields.next()?)?;
        let flags = u32::from_str_radix(fields.nth(1)?, 16).ok()?;
        let mask = address_v4(fields.nth(3)?)?;
        let network = IpNet::with_netmask(destination, mask).ok()?;
        (flags & REJECT == 0).then(|| Route {
            network,
            device: device.to_owned(),
        })
    };
    // The first line is a heading.
    text.lines().skip(1).filter_map(route).collect()
}

/// The routes in the text of /proc/net/ipv6_route: `destination prefix source prefix next-hop metric refcount use flags
/// device`, all in hexadecimal.
fn of_v6(text: &str) -> Vec<Route> {
    let route = |line: &str| {
        let mut fields = line.split_whitespace();
        let destination = u128::from_str_radix(fields.next()?, 16).ok()?;
        let prefix = u8::from_str_radix(fields.next()?, 16).ok()?;
        let flags = u32::from_str_radix(fields.nth(6)?, 16).ok()?;
        let device = fields.next()?;
        let network = IpNet::new(Ipv6Addr::from(destination).into(), prefix).ok()?;
        (flags & REJECT == 0 && device != "lo").then(|| Route {
            network,
            device: device.to_owned(),
        })
    };
    text.lines().filter_map(route).collect()
}

/// Which routes lead elsewhere with addresses of `range`. A default route does with all, and is no quarrel: a narrower
/// route goes before it.
pub(crate) fn overlapping<'a>(range: &IpNet, routes: &'a [Route]) -> Vec<&'a Route> {
    routes
        .iter()
        .filter(|route| route.network.prefix_len() > 0)
        .filter(|route| range.contains(&route.network) || route.network.contains(range))
        .collect()
}

fn address_v4(hex: &str) -> Option<IpAddr> {
    let number = u32::from_str_radix(hex, 16).ok()?;
    Some(Ipv4Addr::from(number.to_ne_bytes()).into())
}

#[cfg(test)]
#[cfg(target_endian = "little")]
mod tests {
    use super::*;

    const V4: &str = "\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t014EA8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t004EA8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
wg0\t0000600A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
slipway0\t0000F40A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
*\t0000F50A\t00000000\t0201\t0\t0\t0\t0000FFFF\t0\t0\t0
nonsense
";
    const V6: &str = "\
fd000000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo
00000000000000000000000000000001 80 00000000000000000000000000000000 00 00000000000000000000000000000000 00000000 00000002 00000000 80200001       lo
";

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    #[test]
    fn the_kernels_tables_are_read() {
        let found: Vec<_> = of_v4(V4)
            .into_iter()
            .map(|route| (route.network.to_string(), route.device))
            .collect();
        let expected = [
            ("0.0.0.0/0", "eth0"),
            ("192.168.78.0/24", "eth0"),
            ("10.96.0.0/16", "wg0"),
            ("10.244.0.0/16", "slipway0"),
        ];
        assert_eq!(
            found,
            expected.map(|(network, device)| (network.to_owned(), device.to_owned()))
        );
        let v6 = of_v6(V6);
        assert_eq!(v6.len(), 1);
        assert_eq!(v6[0].network, net("fd00::/64"));
    }

    #[test]
    fn overlaps_are_found_in_both_directions() {
        let routes = of_v4(V4);
        let devices = |range: &str| -> Vec<String> {
            let found = overlapping(&net(range), &routes);
            found.into_iter().map(|route| route.device.clone()).collect()
        };
        assert_eq!(devices("10.96.0.0/12"), ["wg0"]);
        assert_eq!(devices("10.96.7.0/24"), ["wg0"]);
        assert_eq!(devices("10.244.0.0/16"), ["slipway0"]);
        assert!(devices("172.16.0.0/12").is_empty());
        assert!(devices("fd00::/48").is_empty());
    }
}
