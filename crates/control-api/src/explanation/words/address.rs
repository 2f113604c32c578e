//! Texts about an address.

use crate::explanation::{AddressFacts, AddressRoute};
use crate::name::Answerer;

impl AddressFacts {
    pub(super) fn may_be_proxied(&self, answered_by: Answerer) -> bool {
        // A routing rule that comes first also keeps the packets from a route of Slipway.
        answered_by != Answerer::Cluster && !self.local && self.refused.is_none() && self.rule().is_none()
    }

    pub(super) fn rule(&self) -> Option<&str> {
        self.route.as_ref()?.rule.as_deref()
    }

    pub(super) fn cause(&self, address: &str, answered_by: Answerer) -> String {
        let cause = match &self.route {
            _ if self.local => {
                return format!(
                    "{address} is an address of this laptop, so its traffic never goes to the cluster."
                );
            }
            Some(route) if answered_by == Answerer::Cluster => {
                return format!(
                    "Traffic to {address} goes to the cluster, by the route {} on {}.",
                    route.net, route.device
                );
            }
            Some(AddressRoute {
                net,
                device,
                rule: Some(rule),
            }) => format!(
                "Traffic to {address} does not go to the cluster: the laptop's routing rule `{rule}` sends it to {device}, by \
                 the route {net}."
            ),
            Some(AddressRoute { net, device, .. }) => format!(
                "Traffic to {address} does not go to the cluster: the laptop's route {net} sends it to {device}."
            ),
            None => {
                format!(
                    "Traffic to {address} does not go to the cluster, and the laptop has no route to it either."
                )
            }
        };
        match &self.refused {
            Some(why) => format!("{cause} `--also-proxy` cannot change that: {why}."),
            None => cause,
        }
    }
}
