//! Explanation of an address by the kernel's route to it.

use std::net::IpAddr;

use slipway_control_api::{AddressFacts, AddressRoute, Answerer, Explanation, Found};
use slipway_laptop::{Kernel, KnownRoute, Maker, RouteTo};

use crate::failure::{Failure, Uncoded};

/// Explains an address by the route that the kernel would take.
///
/// # Errors
///
/// When the kernel does not answer.
pub(super) async fn explain(address: IpAddr) -> Result<Explanation, Failure> {
    let kernel = Kernel::open().uncoded("Failed to ask the kernel for routes")?;
    let route = kernel.route_to(address).await;
    let route = route.uncoded("Failed to ask the kernel for routes")?;
    Ok(by_route(address, route))
}

fn by_route(address: IpAddr, route: RouteTo) -> Explanation {
    let answered_by = match &route {
        RouteTo::By(route) if route.maker == Maker::Helper => Answerer::Cluster,
        RouteTo::By(_) | RouteTo::Local => Answerer::Laptop,
        RouteTo::None => Answerer::Nobody,
    };
    let local = route == RouteTo::Local;
    let route = match route {
        RouteTo::By(KnownRoute { net, device, .. }) => Some(AddressRoute { net, device }),
        RouteTo::Local | RouteTo::None => None,
    };
    Explanation {
        name: address.to_string(),
        answered_by,
        answer: Vec::new(),
        programs: None,
        found: Found::Address(AddressFacts { local, route }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_route_says_where_an_address_goes() {
        let route = |net: &str, device: &str, maker| {
            RouteTo::By(KnownRoute {
                net: net.parse().unwrap(),
                gateways: Vec::new(),
                index: 7,
                device: device.to_owned(),
                maker,
            })
        };
        let explained = [
            ("10.96.0.7", route("10.96.0.0/16", "slipway0", Maker::Helper)),
            ("10.1.2.3", route("10.0.0.0/8", "wg0", Maker::Other)),
            ("127.0.0.1", RouteTo::Local),
            ("192.0.2.1", RouteTo::None),
        ]
        .map(|(address, route)| by_route(address.parse().unwrap(), route))
        .map(|said| format!("{} {}", said.cause(), said.remedy().unwrap_or_default()));
        insta::assert_snapshot!(explained.join("\n"), @r"
        Traffic to 10.96.0.7 goes to the cluster, by the route 10.96.0.0/16 on slipway0. 
        Traffic to 10.1.2.3 does not go to the cluster: the laptop's route 10.0.0.0/8 sends it to wg0. To send it through the cluster, connect with `--also-proxy 10.1.2.3`.
        127.0.0.1 is an address of this laptop, so its traffic never goes to the cluster. 
        Traffic to 192.0.2.1 does not go to the cluster, and the laptop has no route to it either. To send it through the cluster, connect with `--also-proxy 192.0.2.1`.
        ");
    }
}
