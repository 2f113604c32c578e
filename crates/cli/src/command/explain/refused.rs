//! Refusals: addresses to which the helper adds no route, even if the user names them in `also-proxy`.

use std::net::IpAddr;

use slipway_helper_api::{OWN_DEVICES, RangeTrouble, TunnelCidr};
use slipway_laptop::{Holder, InUse, KnownRoute, Union, conflicts};

use crate::this_laptop;

/// Returns why a route to an address would be refused, in a clause; `None` if it would not, or if the kernel does not list
/// its routes.
pub(super) async fn why(address: IpAddr) -> Option<String> {
    let routes = this_laptop::routes().await.unwrap_or_default();
    judge(address, &routes, &this_laptop::name_servers_in_use())
}

/// Returns why routes to all of these addresses would be refused: the first reason.
pub(super) async fn why_any(addresses: impl Iterator<Item = &IpAddr>) -> Option<String> {
    let routes = this_laptop::routes().await.unwrap_or_default();
    let servers = this_laptop::name_servers_in_use();
    let reasons: Option<Vec<String>> = addresses
        .map(|address| judge(*address, &routes, &servers))
        .collect();
    reasons?.into_iter().next()
}

fn judge(address: IpAddr, routes: &[KnownRoute], servers: &[IpAddr]) -> Option<String> {
    if let Err(error) = TunnelCidr::single(address) {
        return Some(error.to_string());
    }
    if OWN_DEVICES.contains(&address) {
        return Some(RangeTrouble::HelpersOwn.to_string());
    }
    let in_use = conflicts(address.into(), false, &Union::default(), routes, servers, 0);
    let InUse { net, device, holder } = in_use.into_iter().find(|one| one.holder != Holder::Session)?;
    Some(match holder {
        Holder::Gateway => format!("{address} is a gateway of this laptop"),
        Holder::NameServer => format!("{address} is a name server of this laptop"),
        Holder::Attached => {
            format!("{address} is in the network {net} of {device}, to which this laptop is attached")
        }
        Holder::Routed | Holder::Session => format!("another program has the route {net} to {device}"),
    })
}

#[cfg(test)]
mod tests {
    use slipway_laptop::{MAIN_TABLE, Maker};

    use super::*;

    #[test]
    fn networks_that_the_laptop_uses_are_refused() {
        let route = |net: &str, gateway: &str, device: &str, maker| KnownRoute {
            net: net.parse().unwrap(),
            gateways: gateway.parse().into_iter().collect(),
            index: 7,
            device: device.to_owned(),
            maker,
            table: MAIN_TABLE,
        };
        let routes = [
            route("0.0.0.0/0", "192.168.1.1", "wlan0", Maker::Other),
            route("192.168.1.0/24", "", "wlan0", Maker::Kernel),
            route("10.0.0.0/8", "", "wg0", Maker::Other),
            route("10.96.0.0/16", "", "slipway0", Maker::Helper),
        ];
        let servers = ["10.0.0.53".parse().unwrap()];
        let why = |address: &str| judge(address.parse().unwrap(), &routes, &servers).unwrap_or_default();
        assert_eq!(why("192.168.1.1"), "192.168.1.1 is a gateway of this laptop");
        assert_eq!(
            why("192.168.1.7"),
            "192.168.1.7 is in the network 192.168.1.0/24 of wlan0, to which this laptop is attached"
        );
        assert_eq!(why("10.0.0.53"), "10.0.0.53 is a name server of this laptop");
        assert_ne!(why("127.0.0.1"), "");
        assert!(
            why("198.18.3.4").contains("198.18.0.0/16"),
            "{}",
            why("198.18.3.4")
        );
        for fine in ["10.1.2.3", "10.96.0.7", "198.19.0.7", "203.0.113.10"] {
            assert_eq!(why(fine), "", "{fine}");
        }
    }
}
