//! Conflicts of a plan's networks with networks of the laptop, as a refusal. [`slipway_laptop::conflicts`] has the
//! rules.

use std::net::IpAddr;

use slipway_helper_api::{Conflict, ConflictWith, HelperRefusal, Route, RouteOrigin, Routes};
use slipway_laptop::{Holder, InUse, KnownRoute, Union, conflicts};

/// Checks networks to be routed into the device `index` (0 if it does not exist yet), which then has the networks `all`.
pub(crate) fn check(
    routes: impl Iterator<Item = Route>,
    all: &Routes,
    known: &[KnownRoute],
    name_servers: &[IpAddr],
    index: u32,
) -> Result<(), HelperRefusal> {
    let union = Union::from_iter(all.nets().map(|net| net.net()));
    let mut found = Vec::new();
    for Route { net, origin } in routes {
        let is_learned = origin == RouteOrigin::Learned;
        let in_use = conflicts(net.net(), is_learned, &union, known, name_servers, index);
        found.extend(in_use.into_iter().map(
            |InUse {
                 net: used,
                 device,
                 holder,
             }| Conflict {
                range: net,
                route: used,
                device,
                with: match holder {
                    Holder::Gateway => ConflictWith::Gateway,
                    Holder::Attached => ConflictWith::Attached,
                    Holder::Session => ConflictWith::Session,
                    Holder::Routed => ConflictWith::Routed,
                    Holder::NameServer => ConflictWith::NameServer,
                },
            },
        ));
        if found.len() >= HelperRefusal::MAX_CONFLICTS {
            break;
        }
    }
    found.truncate(HelperRefusal::MAX_CONFLICTS);
    if found.is_empty() {
        Ok(())
    } else {
        Err(HelperRefusal::Conflicts(found))
    }
}

#[cfg(test)]
mod tests {
    use slipway_helper_api::TunnelCidr;
    use slipway_laptop::Maker;

    use super::*;

    #[test]
    fn a_range_without_its_conflicts_is_accepted() {
        let lan = KnownRoute {
            net: "192.168.1.0/24".parse().unwrap(),
            gateways: Vec::new(),
            index: 2,
            device: "wlan0".to_owned(),
            maker: Maker::Kernel,
            table: slipway_laptop::MAIN_TABLE,
        };
        let mut parts: Vec<TunnelCidr> = vec!["192.168.0.0/16".parse().expect("range")];
        let declared = |parts: &[TunnelCidr]| {
            let routes = parts.iter().map(|part| Route::new(*part, RouteOrigin::Declared));
            routes.collect::<Vec<_>>()
        };
        let known = [lan];
        let all = |parts: &[TunnelCidr]| declared(parts).into_iter().collect::<Routes>();
        while let Err(HelperRefusal::Conflicts(found)) =
            check(declared(&parts).into_iter(), &all(&parts), &known, &[], 0)
        {
            for conflict in found {
                parts = parts
                    .iter()
                    .flat_map(|part| part.without(conflict.route))
                    .collect();
            }
        }
        let has = |address: &str| {
            let address = address.parse().expect("address");
            parts.iter().any(|part| part.contains(address))
        };
        assert!(has("192.168.200.1") && !has("192.168.1.9"));
    }
}
