//! Settings that leases gave to systemd-resolved. It lists them in its `resolv.conf` files beside the laptop's own
//! settings, so they are left out when these files are read.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use slipway_helper_api::DnsPlan;

/// List of the settings of all leases. Clones share the list.
#[derive(Debug, Clone, Default)]
pub(crate) struct Given(Arc<Mutex<Vec<Weak<GivenLink>>>>);

/// Resolver and search domains of one lease's link. They stay in the list until this is dropped.
#[derive(Debug)]
pub(crate) struct GivenLink {
    resolver: Ipv4Addr,
    search: Vec<String>,
}

impl Given {
    /// Adds the settings of a link.
    pub(crate) fn add(&self, resolver: Ipv4Addr, plan: &DnsPlan) -> Arc<GivenLink> {
        let search = plan.zones().search.iter();
        let link = Arc::new(GivenLink {
            resolver,
            search: search.map(|suffix| suffix.as_str().to_owned()).collect(),
        });
        let mut links = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        links.retain(|link| link.strong_count() > 0);
        links.push(Arc::downgrade(&link));
        link
    }

    /// Returns the leases' resolvers.
    pub(crate) fn resolvers(&self) -> Vec<IpAddr> {
        self.links().iter().map(|link| link.resolver.into()).collect()
    }

    /// Removes the leases' search domains from a list.
    pub(crate) fn remove_from(&self, search: &mut Vec<String>) {
        let links = self.links();
        search.retain(|domain| !links.iter().any(|link| link.search.contains(domain)));
    }

    fn links(&self) -> Vec<Arc<GivenLink>> {
        let links = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        links.iter().filter_map(Weak::upgrade).collect()
    }
}
