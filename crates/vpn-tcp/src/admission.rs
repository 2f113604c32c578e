//! Admission: decides which addresses of a cluster answer programs may have, and adds routes to them.

use std::net::IpAddr;

use slipway_helper_api::{
    Conflict, ConflictWith, HelperRefusal, RangeTrouble, Route, RouteOrigin, Routes, TunnelCidr,
};
use slipway_helper_client::ClientError;
use slipway_laptop::is_private;
use slipway_names::{Admission, NamedBy};
use slipway_problem::Fault;

use crate::error::VpnTcpError;
use crate::keeper::Keeper;
use crate::lease::{plan, routes_of};
use crate::plan::{Warning, narrowed};
use crate::withheld::Reason;

/// Maximum number of learned addresses. The least recently used one is dropped first.
const MOST_LEARNED: usize = 4096;

/// Maximum number of new routes for one answer. A name with more addresses needs a range in the profile.
const MOST_OF_ONE_ANSWER: usize = 64;

impl Keeper {
    /// Decides on each address of an answer, and adds routes to those that programs may have.
    pub(crate) async fn admit(&mut self, addresses: &[IpAddr], named_by: &NamedBy) -> Vec<Admission> {
        // The user may have taken the name back while it was looked up.
        if matches!(named_by, NamedBy::User(name) if !self.names.scope().is_users(name)) {
            return vec![Admission::Withhold; addresses.len()];
        }
        let (decisions, refused) = loop {
            let (decisions, new) = self.decide(addresses, named_by);
            let refused = self.learn(new).await;
            // The helper may have told that the route to one of them was revoked.
            if !self.follow_revocations() {
                break (decisions, refused);
            }
        };
        if let NamedBy::User(name) = named_by {
            for route in decisions.iter().filter_map(Decision::route) {
                if self.learned.contains(&route) {
                    self.user_names.entry(route.net).or_default().insert(name.clone());
                }
            }
        }
        let mut decided = Vec::with_capacity(addresses.len());
        self.reach.send_if_modified(|reach| {
            let mut is_news = false;
            for (address, decision) in addresses.iter().zip(decisions) {
                let why = match decision {
                    Decision::HandOut => None,
                    Decision::Withhold(why) => Some(why),
                    Decision::Route(route) => match refused.iter().find(|(net, _)| *net == route.net) {
                        None | Some((_, Refused::Shared)) => None,
                        Some((_, Refused::NoIpv6)) => {
                            decided.push(Admission::Unusable);
                            continue;
                        }
                        Some((_, Refused::Because(why))) => Some(why.clone()),
                    },
                };
                let (admission, changed) = match why {
                    None => (Admission::HandOut, reach.withheld.forget(*address)),
                    Some(why) => (Admission::Withhold, reach.withheld.add(*address, why)),
                };
                decided.push(admission);
                is_news |= changed;
            }
            is_news
        });
        decided
    }

    /// Decides on all addresses, before the helper is asked. Returns the routes to ask for too.
    fn decide(&self, addresses: &[IpAddr], named_by: &NamedBy) -> (Vec<Decision>, Routes) {
        let mut new = Routes::default();
        let decide = |address: &IpAddr| {
            let decision = self.judge(*address, named_by);
            if let Decision::Route(route) = decision {
                if new.len() == MOST_OF_ONE_ANSWER {
                    return Decision::Withhold(Reason::TooMany {
                        most: MOST_OF_ONE_ANSWER,
                    });
                }
                new.insert(route);
            }
            decision
        };
        (addresses.iter().map(decide).collect(), new)
    }

    /// Decides on an address, before the helper is asked.
    fn judge(&self, address: IpAddr, named_by: &NamedBy) -> Decision {
        let is_routed = || self.granted.nets().any(|net| net.contains(address));
        if self.never.borrow().contains(&address) || is_routed() {
            return Decision::HandOut;
        }
        let net = match TunnelCidr::single(address) {
            Ok(net) => net,
            Err(error) => {
                return Decision::Withhold(Reason::Refused {
                    why: error.to_string(),
                    remedy: NEVER.to_owned(),
                });
            }
        };
        let is_users =
            matches!(named_by, NamedBy::User(_)) || self.users.iter().any(|range| range.contains(&address));
        if is_users {
            return Decision::Route(Route::new(net, RouteOrigin::User));
        }
        if *named_by == NamedBy::Alias && !is_private(net.net()) {
            // A public host has the same address everywhere, so the laptop's own route leads there as well.
            return Decision::HandOut;
        }
        Decision::Route(Route::new(net, RouteOrigin::Learned))
    }

    /// Adds routes to addresses, and returns those that the helper refused. The others are routed nevertheless.
    async fn learn(&mut self, new: Routes) -> Vec<(TunnelCidr, Refused)> {
        let (known, mut new): (Routes, Routes) = new.iter().partition(|route| self.learned.contains(route));
        // Move addresses that were asked for again to the end: they are the most recently used.
        self.learned.retain(|route| known.get(&route.net).is_none());
        self.learned.extend(known.iter());
        let mut refused = Vec::new();
        if let Err(error) = self.make_room(new.len()).await {
            refuse_all(&mut new, &mut refused, &error);
        }
        while !new.is_empty() {
            match self.lease.add(new.iter()).await {
                Ok(()) => break,
                Err(ClientError::Refused(refusal)) => match narrowed(&new, &refusal) {
                    Some((left, because)) => {
                        for route in new.iter().filter(|route| left.get(&route.net).is_none()) {
                            refused.push((route.net, Refused::by(&route.net, &refusal, &because)));
                        }
                        new = left;
                    }
                    None => refuse_all(&mut new, &mut refused, &ClientError::Refused(refusal)),
                },
                Err(error) => refuse_all(&mut new, &mut refused, &error),
            }
        }
        if !new.is_empty() {
            self.learned.extend(new.iter());
            let routes = routes_of(&self.lease);
            self.reach.send_modify(|reach| reach.routes = routes);
        }
        refused
    }

    /// Drops the least recently used addresses to make room for `count` more.
    async fn make_room(&mut self, count: usize) -> Result<(), VpnTcpError> {
        let oldest = (self.learned.len() + count).saturating_sub(MOST_LEARNED);
        if oldest == 0 {
            return Ok(());
        }
        let forgotten: Vec<Route> = self.learned.drain(..oldest).collect();
        let kept = self
            .lease
            .plan()
            .routes()
            .iter()
            .filter(|route| !forgotten.contains(route));
        let plan = plan(&kept.collect(), self.lease.plan().dns())?;
        self.lease.update(&plan).await?;
        Ok(())
    }
}

/// Decision on an address of an answer.
enum Decision {
    HandOut,
    Withhold(Reason),
    Route(Route),
}

impl Decision {
    fn route(&self) -> Option<Route> {
        match self {
            Decision::Route(route) => Some(*route),
            Decision::HandOut | Decision::Withhold(_) => None,
        }
    }
}

/// Reason why the helper added no route.
enum Refused {
    /// IPv6 is switched off, so programs cannot use the address.
    NoIpv6,
    /// Another session, perhaps of the same cluster, has the route. A warning tells the user.
    Shared,
    Because(Reason),
}

/// What the user can do about an address that no session ever routes.
const NEVER: &str = "give the name another address in the cluster: `--also-proxy` cannot change this";

impl Refused {
    fn by(net: &TunnelCidr, refusal: &HelperRefusal, because: &[Warning]) -> Self {
        if let HelperRefusal::RangeRefused { why, .. } = refusal {
            return Self::by_rule(*why);
        }
        let conflicts: Vec<&Conflict> = because
            .iter()
            .filter(|warning| warning.is_about(*net))
            .filter_map(|warning| match warning {
                Warning::InUse(conflict) => Some(conflict),
                Warning::KeptOut { .. } | Warning::DoubtfulDomain { .. } => None,
            })
            .collect();
        Self::by_conflicts(&conflicts)
            .unwrap_or_else(|| Self::Because(failed(&ClientError::Refused(refusal.clone()))))
    }

    fn by_rule(why: RangeTrouble) -> Self {
        let remedy = match why {
            RangeTrouble::NoIpv6 => return Self::NoIpv6,
            RangeTrouble::PublicByCluster => return Self::Because(Reason::NotNamed(why.to_string())),
            RangeTrouble::Public | RangeTrouble::HelpersOwn => NEVER,
            RangeTrouble::Denied => {
                "ask the laptop's administrator to remove it from `deny_ranges` in /etc/slipway/helper.toml"
            }
        };
        Self::Because(Reason::Refused {
            why: why.to_string(),
            remedy: remedy.to_owned(),
        })
    }

    /// Returns the reason that decides, among all networks in use that contain one address: one that stays, whoever names
    /// the address. `None` without a conflict.
    fn by_conflicts(conflicts: &[&Conflict]) -> Option<Self> {
        let is_shared = |conflict: &&Conflict| conflict.with == ConflictWith::Session;
        let first = conflicts.first()?;
        if conflicts.iter().all(is_shared) {
            return Some(Self::Shared);
        }
        let Some(stays) = conflicts.iter().find(|conflict| !is_left_to_vpn(conflict)) else {
            return Some(Self::Because(Reason::NotNamed(first.to_string())));
        };
        let remedy = match stays.with {
            ConflictWith::Session => "end the other session with `slipway disconnect`",
            ConflictWith::Gateway
            | ConflictWith::Attached
            | ConflictWith::Routed
            | ConflictWith::NameServer => {
                "disconnect from the network that has it, or end its VPN: `--also-proxy` cannot change this"
            }
        };
        Some(Self::Because(Reason::Refused {
            why: stays.to_string(),
            remedy: remedy.to_owned(),
        }))
    }
}

/// Whether the conflict exists only because nobody but the cluster names the address: it lies in a wider network of a VPN
/// ([`slipway_laptop::conflicts`]).
fn is_left_to_vpn(conflict: &Conflict) -> bool {
    conflict.with == ConflictWith::Routed && conflict.route != conflict.range.net()
}

/// Returns the reason for an address to which no route could be added.
fn failed(error: &impl Fault) -> Reason {
    Reason::Refused {
        why: error.to_string(),
        remedy: error.remedy(),
    }
}

fn refuse_all(new: &mut Routes, refused: &mut Vec<(TunnelCidr, Refused)>, error: &impl Fault) {
    let all = std::mem::take(new);
    refused.extend(all.nets().map(|net| (net, Refused::Because(failed(error)))));
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: &str = "10.1.2.3/32";

    fn conflict(with: ConflictWith, route: &str) -> Warning {
        Warning::InUse(Conflict {
            range: ADDRESS.parse().unwrap(),
            route: route.parse().unwrap(),
            device: "wlan0".to_owned(),
            with,
        })
    }

    fn reason(refusal: &HelperRefusal, because: &[Warning]) -> Option<Reason> {
        match Refused::by(&ADDRESS.parse().unwrap(), refusal, because) {
            Refused::NoIpv6 | Refused::Shared => None,
            Refused::Because(reason) => Some(reason),
        }
    }

    fn can_be_named(reason: Option<Reason>) -> bool {
        matches!(reason, Some(Reason::NotNamed(_)))
    }

    #[test]
    fn also_proxy_helps_where_only_the_origin_matters() {
        let by_rule = |why| {
            let range = ADDRESS.parse().unwrap();
            reason(&HelperRefusal::RangeRefused { range, why }, &[])
        };
        assert!(can_be_named(by_rule(RangeTrouble::PublicByCluster)));
        for why in [
            RangeTrouble::Denied,
            RangeTrouble::HelpersOwn,
            RangeTrouble::Public,
        ] {
            assert!(!can_be_named(by_rule(why)), "{why}");
        }
        let in_vpn = || conflict(ConflictWith::Routed, "10.0.0.0/8");
        let refusal = HelperRefusal::Conflicts(Vec::new());
        assert!(can_be_named(reason(&refusal, &[in_vpn()])));
        for (with, route) in [
            (ConflictWith::Attached, "10.1.2.0/24"),
            (ConflictWith::Gateway, ADDRESS),
            (ConflictWith::NameServer, ADDRESS),
            (ConflictWith::Routed, ADDRESS),
            (ConflictWith::Session, "10.1.0.0/16"),
        ] {
            for because in [
                [in_vpn(), conflict(with, route)],
                [conflict(with, route), in_vpn()],
            ] {
                let Some(Reason::Refused { why, .. }) = reason(&refusal, &because) else {
                    panic!("{with}");
                };
                assert!(why.contains(&with.to_string()) && why.contains(route), "{why}");
            }
        }
    }

    #[test]
    fn an_address_of_another_session_is_not_withheld() {
        let refusal = HelperRefusal::Conflicts(Vec::new());
        let shared = [conflict(ConflictWith::Session, "10.1.0.0/16")];
        assert_eq!(reason(&refusal, &shared), None);
    }

    #[test]
    fn a_refusal_without_a_network_has_its_own_remedy() {
        let Some(Reason::Refused { why, remedy }) = reason(&HelperRefusal::Busy, &[]) else {
            panic!("another reason");
        };
        assert_eq!(why, HelperRefusal::Busy.cause());
        assert_eq!(remedy, "disconnect another session first");
    }
}
