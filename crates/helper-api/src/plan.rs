//! What a session wants of the laptop.

use std::fmt;
use std::num::NonZeroU16;

use serde::{Deserialize, Serialize};

use crate::message::{Change, DnsChange};
use crate::{Route, Routes, Zones};

/// Most networks of one lease, single addresses included.
pub const MAX_ROUTES: usize = 4352;

/// Most networks that one request may add, and most that it may remove: with it every request fits a frame.
pub const MAX_CHANGE: usize = 384;

/// Most bytes of text that the suffixes of one plan may have together, for the same reason.
pub const MAX_SUFFIX_BYTES: usize = 12 * 1024;

/// What a session wants: the networks to route into its TUN, and how the laptop is to find names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    routes: Routes,
    dns: Option<DnsPlan>,
}

impl Plan {
    /// A plan. Without `dns` the laptop's names stay as they are.
    ///
    /// # Errors
    /// [`PlanError::TooManyRoutes`] past [`MAX_ROUTES`].
    pub fn new(routes: impl IntoIterator<Item = Route>, dns: Option<DnsPlan>) -> Result<Self, PlanError> {
        let routes = Routes::from_iter(routes);
        if routes.len() > MAX_ROUTES {
            return Err(PlanError::TooManyRoutes { given: routes.len() });
        }
        Ok(Self { routes, dns })
    }

    /// The networks, in order.
    #[must_use]
    pub fn routes(&self) -> &Routes {
        &self.routes
    }

    /// How the laptop is to find names.
    #[must_use]
    pub fn dns(&self) -> Option<&DnsPlan> {
        self.dns.as_ref()
    }

    /// Does to this plan what a change does to a lease.
    pub fn apply(&mut self, change: &Change) {
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

    /// The requests that lead from `self` to `next`, each of them small enough for a frame: first what is removed, so
    /// that a network which is replaced by its parts never overlaps them.
    #[must_use]
    pub fn changes_to(&self, next: &Self) -> Vec<Change> {
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
        // A name must not be answered before its address is routed, so DNS changes last.
        if self.dns != next.dns {
            let dns = next.dns.clone().map_or(DnsChange::Off, DnsChange::Set);
            changes.push(Change {
                add: Vec::new(),
                remove: Vec::new(),
                dns,
            });
        }
        // The usual small change is one request.
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

/// How the laptop is to find names while a session lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "DnsPlanWire", into = "DnsPlanWire")]
pub struct DnsPlan {
    zones: Zones,
    redirect_port: RedirectPort,
    mode: DnsModeChoice,
}

impl DnsPlan {
    /// A plan for names.
    ///
    /// `zones` are the domains that the session answers; they matter where only those are sent to it
    /// ([`DnsMode::Resolved`]). `redirect_port` is where the session's resolver listens on 127.0.0.1 and ::1, UDP and TCP; it
    /// matters where every query comes to it ([`DnsMode::Redirect`]).
    ///
    /// # Errors
    /// [`PlanError::TooManySuffixes`] past [`MAX_SUFFIX_BYTES`], [`PlanError::SearchOutside`] for a search domain whose
    /// names the session does not answer.
    pub fn new(zones: Zones, redirect_port: RedirectPort, mode: DnsModeChoice) -> Result<Self, PlanError> {
        let bytes = zones.bytes();
        if bytes > MAX_SUFFIX_BYTES {
            return Err(PlanError::TooManySuffixes { bytes });
        }
        zones.check()?;
        Ok(Self {
            zones,
            redirect_port,
            mode,
        })
    }

    /// The domains that the session answers.
    #[must_use]
    pub fn zones(&self) -> &Zones {
        &self.zones
    }

    /// Where the session's resolver listens on loopback.
    #[must_use]
    pub fn redirect_port(&self) -> RedirectPort {
        self.redirect_port
    }

    /// Which way to take.
    #[must_use]
    pub fn mode(&self) -> DnsModeChoice {
        self.mode
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DnsPlanWire {
    zones: Zones,
    redirect_port: RedirectPort,
    mode: DnsModeChoice,
}

impl TryFrom<DnsPlanWire> for DnsPlan {
    type Error = PlanError;

    fn try_from(wire: DnsPlanWire) -> Result<Self, Self::Error> {
        Self::new(wire.zones, wire.redirect_port, wire.mode)
    }
}

impl From<DnsPlan> for DnsPlanWire {
    fn from(plan: DnsPlan) -> Self {
        Self {
            zones: plan.zones,
            redirect_port: plan.redirect_port,
            mode: plan.mode,
        }
    }
}

/// A local port that the laptop's DNS may be sent to. Not below 1024: such a port is some service's of the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct RedirectPort(NonZeroU16);

impl RedirectPort {
    /// The port number.
    #[must_use]
    pub fn get(self) -> u16 {
        self.0.get()
    }
}

impl TryFrom<u16> for RedirectPort {
    type Error = PlanError;

    fn try_from(port: u16) -> Result<Self, Self::Error> {
        NonZeroU16::new(port)
            .filter(|port| port.get() >= 1024)
            .map(Self)
            .ok_or(PlanError::SystemPort { port })
    }
}

impl From<RedirectPort> for u16 {
    fn from(port: RedirectPort) -> Self {
        port.get()
    }
}

/// Which way of reaching the session's resolver is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DnsModeChoice {
    /// The first that this laptop has.
    #[default]
    Auto,
    /// [`DnsMode::Resolved`] or nothing.
    Resolved,
    /// [`DnsMode::Redirect`] or nothing.
    Redirect,
}

/// A way in which the laptop's programs reach the session's resolver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DnsMode {
    /// systemd-resolved asks the session about its zones, and only those, at the resolver's address in the TUN.
    Resolved,
    /// Every DNS query to a listed name server lands at the session's port on 127.0.0.1 or ::1.
    Redirect,
}

impl fmt::Display for DnsMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resolved => "systemd-resolved",
            Self::Redirect => "redirect of port 53",
        })
    }
}

/// Why a plan cannot be written down.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// More than [`MAX_ROUTES`] networks.
    #[error(
        "{given} networks are more than the {MAX_ROUTES} that one lease routes: drop the oldest unused addresses"
    )]
    TooManyRoutes {
        /// How many there were.
        given: usize,
    },
    /// More than [`MAX_SUFFIX_BYTES`] of names.
    #[error("{bytes} bytes of domains are more than the {MAX_SUFFIX_BYTES} of one plan: name fewer domains")]
    TooManySuffixes {
        /// Their length together.
        bytes: usize,
    },
    /// A search domain that would send the session names which it does not answer.
    #[error("the search domain {suffix} lies in none of the domains that the session answers")]
    SearchOutside {
        /// The domain.
        suffix: String,
    },
    /// A port that belongs to the system.
    #[error("port {port} is not for a session's resolver: listen on 1024 or above")]
    SystemPort {
        /// The port.
        port: u16,
    },
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::{IpAddr, Ipv6Addr};

    use super::*;
    use crate::message::{Request, Up};
    use crate::{DnsSuffix, RouteOrigin, TunnelCidr, frame};

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
        DnsPlan::new(zones, 5353.try_into().expect("port"), DnsModeChoice::Auto).expect("fits")
    }

    #[test]
    fn every_request_that_a_plan_leads_to_fits_a_frame() {
        let full = Plan::new(learned(4096), Some(wide_dns())).expect("fits");
        let (up, changes) = Up::from_plan(&full, None);
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
    fn changes_say_only_the_difference() {
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
    fn limits_hold() {
        assert_eq!(
            Plan::new(learned(4353), None),
            Err(PlanError::TooManyRoutes { given: 4353 })
        );
        assert_eq!(
            RedirectPort::try_from(53),
            Err(PlanError::SystemPort { port: 53 })
        );
        assert_eq!(RedirectPort::try_from(0), Err(PlanError::SystemPort { port: 0 }));
        let mut zones = wide_dns().zones().clone();
        let more = zones
            .user
            .iter()
            .map(|suffix| format!("x{suffix}").parse().expect("suffix"));
        zones.user.extend(more.collect::<Vec<_>>());
        let text = serde_json::json!({"zones": zones, "redirect_port": 5353, "mode": "auto"});
        assert!(
            serde_json::from_value::<DnsPlan>(text).is_err(),
            "the wire has the same limits"
        );
    }
}
