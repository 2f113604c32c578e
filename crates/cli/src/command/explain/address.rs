//! Whether an address goes to the cluster: which of the laptop's routes is the narrowest that holds it.

use std::net::IpAddr;

use slipway_control_api::{Answerer, Explanation};

use crate::routes::Route;

/// Explains an address by the laptop's routes.
pub(super) fn explain(address: IpAddr, routes: &[Route]) -> Explanation {
    let leads = routes
        .iter()
        .filter(|route| route.network.contains(&address))
        .max_by_key(|route| route.network.prefix_len());
    let (answered_by, cause) = match leads {
        Some(route) if route.is_ours() => (
            Answerer::Cluster,
            format!(
                "{address} goes to the cluster, by the route {} of {}.",
                route.network, route.device
            ),
        ),
        Some(route) => (
            Answerer::Laptop,
            format!(
                "{address} does not go to the cluster: the laptop's route {} leads it to {}.",
                route.network, route.device
            ),
        ),
        None => (
            Answerer::Nobody,
            format!("{address} does not go to the cluster, and the laptop has no route to it either."),
        ),
    };
    Explanation {
        name: address.to_string(),
        answered_by,
        answer: Vec::new(),
        cause,
        remedy: (answered_by != Answerer::Cluster)
            .then(|| format!("To send it through the cluster, connect with `--also-proxy {address}`.")),
        steps: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrowest_route_says_where_an_address_goes() {
        let routes = [
            Route::new("10.0.0.0/8", "wg0"),
            Route::new("10.96.0.0/16", "slipway0"),
            Route::new("::/0", "eth0"),
        ];
        let explained = ["10.96.0.7", "10.1.2.3", "192.0.2.1"]
            .map(|address| explain(address.parse().unwrap(), &routes))
            .map(|said| format!("{} {}", said.cause, said.remedy.unwrap_or_default()));
        insta::assert_snapshot!(explained.join("\n"), @r"
        10.96.0.7 goes to the cluster, by the route 10.96.0.0/16 of slipway0. 
        10.1.2.3 does not go to the cluster: the laptop's route 10.0.0.0/8 leads it to wg0. To send it through the cluster, connect with `--also-proxy 10.1.2.3`.
        192.0.2.1 does not go to the cluster, and the laptop has no route to it either. To send it through the cluster, connect with `--also-proxy 192.0.2.1`.
        ");
    }
}
