//! Plan: the routes and DNS that a session wants, and the requests that apply it.

use slipway_helper_api::{
    Change, Conflict, DnsChange, DnsPlan, MAX_CHANGE, MAX_ROUTES, PlanError, Route, Routes, Slot, Up,
};

/// Plan of a session: networks to route into its TUN, and the laptop's DNS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    routes: Routes,
    dns: Option<DnsPlan>,
}

impl Plan {
    /// Makes a plan. Without `dns` the laptop's DNS stays as it is.
    ///
    /// # Errors
    /// [`PlanError::TooManyRoutes`] for more than [`MAX_ROUTES`].
    pub fn new(routes: impl IntoIterator<Item = Route>, dns: Option<DnsPlan>) -> Result<Self, PlanError> {
        let routes = Routes::from_iter(routes);
        if routes.len() > MAX_ROUTES {
            return Err(PlanError::TooManyRoutes { given: routes.len() });
        }
        Ok(Self { routes, dns })
    }

    /// Returns the networks, in order.
    #[must_use]
    pub fn routes(&self) -> &Routes {
        &self.routes
    }

    /// Returns the DNS plan.
    #[must_use]
    pub fn dns(&self) -> Option<&DnsPlan> {
        self.dns.as_ref()
    }

    /// Returns the plan of a request for a lease.
    pub(crate) fn of(up: &Up) -> Self {
        Self {
            routes: up.routes.iter().copied().collect(),
            dns: up.dns.clone(),
        }
    }

    /// Takes a network out that the laptop itself uses by now.
    pub(crate) fn give_way(&mut self, conflict: &Conflict) {
        self.routes.give_way(conflict);
    }

    /// Applies a change of the lease to this plan.
    pub(crate) fn apply(&mut self, change: &Change) {
        for route in &change.remove {
            self.routes.take(route);
        }
        self.routes.extend(change.add.iter().copied());
        match &change.dns {
            DnsChange::Keep => {}
            DnsChange::Off => self.dns = None,
            DnsChange::Set(dns) => self.dns = Some(dns.clone()),
        }
    }

    /// Returns the request for a lease of this plan, and the changes that complete it.
    pub(crate) fn up(&self, prefer: Option<Slot>) -> (Up, Vec<Change>) {
        let all: Vec<_> = self.routes.iter().collect();
        let (first, rest) = all.split_at(all.len().min(MAX_CHANGE));
        let rest = rest.chunks(MAX_CHANGE).map(|part| Change {
            add: part.to_vec(),
            remove: Vec::new(),
            dns: DnsChange::Keep,
        });
        let up = Up {
            routes: first.to_vec(),
            dns: self.dns.clone(),
            prefer,
        };
        (up, rest.collect())
    }

    /// Returns the requests that lead from `self` to `next`; each fits a frame. Removals come first, because a lease has
    /// room for a limited number of networks. In one request, a network and its parts replace each other without a gap.
    pub(crate) fn changes_to(&self, next: &Self) -> Vec<Change> {
        let kept: Vec<_> = next.routes.nets().collect();
        let removed: Vec<_> = self
            .routes
            .nets()
            .filter(|net| kept.binary_search(net).is_err())
            .collect();
        let added: Vec<_> = next
            .routes
            .iter()
            .filter(|route| !self.routes.contains(route))
            .collect();
        let removals = removed.chunks(MAX_CHANGE).map(|part| Change {
            add: Vec::new(),
            remove: part.to_vec(),
            dns: DnsChange::Keep,
        });
        let additions = added.chunks(MAX_CHANGE).map(|part| Change {
            add: part.to_vec(),
            remove: Vec::new(),
            dns: DnsChange::Keep,
        });
        let mut changes: Vec<_> = removals.chain(additions).collect();
        // DNS changes last: programs must not get an address before it is routed.
        if self.dns != next.dns {
            let dns = next.dns.clone().map_or(DnsChange::Off, DnsChange::Set);
            changes.push(Change {
                add: Vec::new(),
                remove: Vec::new(),
                dns,
            });
        }
        // A small change with removals and additions is one request.
        match changes.as_mut_slice() {
            [first, second]
                if first.add.is_empty() && second.remove.is_empty() && second.dns == DnsChange::Keep =>
            {
                first.add = std::mem::take(&mut second.add);
                changes.truncate(1);
            }
            _ => {}
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::{IpAddr, Ipv6Addr};

    use slipway_helper_api::{
        DnsModeChoice, DnsSuffix, MAX_SUFFIX_BYTES, Request, RouteOrigin, TunnelCidr, Zones, frame,
    };

    use super::*;

    fn learned(count: u32) -> impl Iterator<Item = Route> {
        // The longest text an address can have.
        let address = |n: u32| {
            Ipv6Addr::new(
                0xfd11,
                0x1111,
                0x1111,
                0x1111,
                0x1111,
                0x1111,
                (n >> 16) as u16 | 0x1000,
                n as u16 | 0x1000,
            )
        };
        (0..)
            .map(address)
            .scan(BTreeSet::new(), |seen, address| {
                Some(seen.insert(address).then_some(address))
            })
            .flatten()
            .take(count as usize)
            .map(|address| TunnelCidr::single(IpAddr::V6(address)).expect("unique local"))
            .map(|net| Route::new(net, RouteOrigin::Declared))
    }

    fn wide_dns() -> DnsPlan {
        let suffix = |n: usize| {
            let text = format!("{}.n{n:03}", ["abcdefghi"; 24].join("."));
            text.parse::<DnsSuffix>().expect("suffix")
        };
        let zones = Zones {
            user: (0..MAX_SUFFIX_BYTES / 252).map(suffix).collect(),
            ..Zones::default()
        };
        DnsPlan::new(zones, [5353.try_into().expect("port"); 3], DnsModeChoice::Auto).expect("fits")
    }

    #[test]
    fn every_request_of_a_plan_fits_a_frame() {
        let full = Plan::new(learned(4096), Some(wide_dns())).expect("fits");
        let (up, changes) = full.up(None);
        frame::encode(&Request::Up(up)).expect("fits");
        assert!(changes.len() >= 7);
        let empty = Plan::new([], None).expect("fits");
        for change in changes.into_iter().chain(full.changes_to(&empty)) {
            frame::encode(&Request::Update(change)).expect("fits");
        }
        let fullest = Change {
            add: learned(MAX_CHANGE as u32).collect(),
            remove: learned(MAX_CHANGE as u32).map(|route| route.net).collect(),
            dns: DnsChange::Set(wide_dns()),
        };
        frame::encode(&Request::Update(fullest)).expect("fits");
    }

    #[test]
    fn changes_contain_only_the_difference() {
        let net = |text: &str| text.parse::<TunnelCidr>().expect("range");
        let parse = |text: &str| Route::new(net(text), RouteOrigin::Declared);
        let before = Plan::new([parse("10.0.0.0/8"), parse("10.1.2.3")], None).expect("fits");
        let after = Plan::new([parse("10.1.2.3"), parse("10.128.0.0/9")], None).expect("fits");
        assert_eq!(
            before.changes_to(&after),
            [Change {
                add: vec![parse("10.128.0.0/9")],
                remove: vec![net("10.0.0.0/8")],
                dns: DnsChange::Keep
            }]
        );
        assert_eq!(before.changes_to(&before), []);
        let named = Plan::new(before.routes().iter(), Some(wide_dns())).expect("fits");
        assert!(matches!(
            before.changes_to(&named).as_slice(),
            [Change {
                dns: DnsChange::Set(_),
                ..
            }]
        ));
        assert!(matches!(
            named.changes_to(&before).as_slice(),
            [Change {
                dns: DnsChange::Off,
                ..
            }]
        ));
    }

    #[test]
    fn a_lease_has_a_limited_number_of_routes() {
        assert_eq!(
            Plan::new(learned(4353), None),
            Err(PlanError::TooManyRoutes { given: 4353 })
        );
    }
}
