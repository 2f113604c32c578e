//! Explanation of an address by the kernel's route to it.

use std::net::IpAddr;

use slipway_control_api::{AddressFacts, AddressRoute, Answerer, Explanation, Found};
use slipway_laptop::{Kernel, KnownRoute, Maker, RouteTo, rule_before_main};

use super::refused;
use crate::failure::{Failure, Uncoded};

/// Explains an address by the route that the kernel would take.
///
/// # Errors
///
/// When the kernel does not answer.
pub(super) async fn explain(address: IpAddr) -> Result<Explanation, Failure> {
    const FAILED: &str = "Failed to ask the kernel for routes";
    let kernel = Kernel::open().uncoded(FAILED)?;
    let routes = kernel.routes_to(&[address]).await.uncoded(FAILED)?;
    let route = routes.into_iter().next().unwrap_or(RouteTo::None);
    let rules = kernel.rules().await.uncoded(FAILED)?;
    // A route of Slipway would come before the other rules.
    let user = nix::unistd::geteuid().as_raw();
    let rule = rule_before_main(&route, &rules, address, user).map(ToString::to_string);
    Ok(by_route(address, route, rule, refused::why(address).await))
}

fn by_route(address: IpAddr, route: RouteTo, rule: Option<String>, refused: Option<String>) -> Explanation {
    let answered_by = match &route {
        RouteTo::By(route) if route.maker == Maker::Helper => Answerer::Cluster,
        RouteTo::By(_) | RouteTo::Local => Answerer::Laptop,
        RouteTo::None => Answerer::Nobody,
    };
    let local = route == RouteTo::Local;
    let route = match route {
        RouteTo::By(KnownRoute { net, device, .. }) => Some(AddressRoute { net, device, rule }),
        RouteTo::Local | RouteTo::None => None,
    };
    Explanation {
        name: address.to_string(),
        answered_by,
        answer: Vec::new(),
        programs: None,
        port: None,
        backing: None,
        found: Found::Address(AddressFacts {
            local,
            route,
            refused,
        }),
    }
}

#[cfg(test)]
mod tests {
    use slipway_laptop::MAIN_TABLE;

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
                table: MAIN_TABLE,
            })
        };
        let explained = [
            (
                "10.96.0.7",
                route("10.96.0.0/16", "slipway0", Maker::Helper),
                "",
                "",
            ),
            ("10.1.2.3", route("10.0.0.0/8", "wg0", Maker::Other), "", ""),
            (
                "10.1.2.3",
                route("10.0.0.0/8", "ts0", Maker::Other),
                "5270: from all lookup 52",
                "",
            ),
            ("127.0.0.1", RouteTo::Local, "", "it is a loopback address"),
            ("192.0.2.1", RouteTo::None, "", ""),
            (
                "192.168.1.1",
                route("192.168.1.0/24", "wlan0", Maker::Kernel),
                "",
                "192.168.1.1 is a gateway of this laptop",
            ),
        ]
        .map(|(address, route, rule, refused)| {
            let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            by_route(address.parse().unwrap(), route, given(rule), given(refused))
        })
        .map(|said| format!("{} {}", said.cause(), said.remedy().unwrap_or_default()));
        insta::assert_snapshot!(explained.join("\n"), @r"
        Traffic to 10.96.0.7 goes to the cluster, by the route 10.96.0.0/16 on slipway0. 
        Traffic to 10.1.2.3 does not go to the cluster: the laptop's route 10.0.0.0/8 sends it to wg0. To send it through the cluster, run `slipway change --also-proxy 10.1.2.3`.
        Traffic to 10.1.2.3 does not go to the cluster: the laptop's routing rule `5270: from all lookup 52` sends it to ts0, by the route 10.0.0.0/8. End the VPN that made this rule, or leave the address out of what it routes.
        127.0.0.1 is an address of this laptop, so its traffic never goes to the cluster. 
        Traffic to 192.0.2.1 does not go to the cluster, and the laptop has no route to it either. To send it through the cluster, run `slipway change --also-proxy 192.0.2.1`.
        Traffic to 192.168.1.1 does not go to the cluster: the laptop's route 192.168.1.0/24 sends it to wlan0. `--also-proxy` cannot change that: 192.168.1.1 is a gateway of this laptop. 
        ");
    }
}
