//! Layout of the laptop's routes, for a picture.

use std::net::IpAddr;

use ipnet::IpNet;
use slipway_control_api::{LaptopRoute, Layout, NetworkHolder};
use slipway_laptop::{KnownRoute, Maker};

use super::facts::session_with;
use super::laptop::Laptop;

/// Returns the routes against which networks of a session can be drawn.
pub(super) fn of(laptop: &Laptop) -> Layout {
    let shown = |route: &&KnownRoute| is_relevant(route.net);
    let mut routes: Vec<LaptopRoute> = laptop
        .routes
        .iter()
        .filter(shown)
        .map(|route| LaptopRoute {
            net: route.net,
            device: Some(route.device.clone()).filter(|device| !device.is_empty()),
            gateways: route.gateways.clone(),
            holder: match route.maker {
                Maker::Kernel => NetworkHolder::Attached,
                Maker::Helper => session_with(route.net, &laptop.sessions),
                Maker::Other => NetworkHolder::Routed,
            },
        })
        .collect();
    routes.sort_by(|one, other| (one.net, &one.device).cmp(&(other.net, &other.device)));
    routes.dedup();
    let more = routes.len().saturating_sub(Layout::MOST_ROUTES);
    routes.truncate(Layout::MOST_ROUTES);
    Layout { routes, more }
}

/// Whether packets of ordinary connections can follow a route: neither multicast nor link-local.
fn is_relevant(net: IpNet) -> bool {
    match net.network() {
        IpAddr::V4(address) => !address.is_multicast() && !address.is_link_local(),
        IpAddr::V6(address) => {
            !address.is_multicast() && !address.is_unicast_link_local() && !address.is_loopback()
        }
    }
}
