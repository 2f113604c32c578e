//! Admission: decides which addresses of a cluster answer programs may have, and adds routes to them.

use std::net::IpAddr;

use slipway_helper_api::{HelperRefusal, RangeTrouble, Route, RouteOrigin, Routes, TunnelCidr};
use slipway_helper_client::ClientError;
use slipway_laptop::is_private;
use slipway_names::{Admission, NamedBy};

use crate::error::VpnTcpError;
use crate::keeper::Keeper;
use crate::lease::{plan, routes_of};
use crate::plan::{Warning, narrowed};

/// Maximum number of learned addresses. The least recently used one is dropped first.
const MOST_LEARNED: usize = 4096;

/// Maximum number of new routes for one answer. A name with more addresses needs a range in the profile.
const MOST_OF_ONE_ANSWER: usize = 64;

impl Keeper {
    /// Decides on each address of an answer, and adds routes to those that programs may have.
    pub(crate) async fn admit(&mut self, addresses: &[IpAddr], named_by: NamedBy) -> Vec<Admission> {
        let (decisions, refused) = loop {
            let (decisions, new) = self.decide(addresses, named_by);
            let refused = self.learn(new).await;
            // The helper may have told that the route to one of them was revoked.
            if !self.follow_revocations() {
                break (decisions, refused);
            }
        };
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
    fn decide(&self, addresses: &[IpAddr], named_by: NamedBy) -> (Vec<Decision>, Routes) {
        let mut new = Routes::default();
        let decide = |address: &IpAddr| {
            let decision = self.judge(*address, named_by);
            if let Decision::Route(route) = decision {
                if new.len() == MOST_OF_ONE_ANSWER {
                    let why = format!("Slipway adds at most {MOST_OF_ONE_ANSWER} routes for one answer");
                    return Decision::Withhold(why);
                }
                new.insert(route);
            }
            decision
        };
        (addresses.iter().map(decide).collect(), new)
    }

    /// Decides on an address, before the helper is asked.
    fn judge(&self, address: IpAddr, named_by: NamedBy) -> Decision {
        let is_routed = || self.granted.nets().any(|net| net.contains(address));
        if self.never.borrow().contains(&address) || is_routed() {
            return Decision::HandOut;
        }
        let net = match TunnelCidr::single(address) {
            Ok(net) => net,
            Err(error) => return Decision::Withhold(error.to_string()),
        };
        let is_users = named_by == NamedBy::User || self.users.iter().any(|range| range.contains(&address));
        if is_users {
            return Decision::Route(Route::new(net, RouteOrigin::User));
        }
        if named_by == NamedBy::Alias && !is_private(net.net()) {
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
            refuse_all(&mut new, &mut refused, &error.to_string());
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
                    None => refuse_all(&mut new, &mut refused, &refusal.cause()),
                },
                Err(error) => refuse_all(&mut new, &mut refused, &error.to_string()),
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
    Withhold(String),
    Route(Route),
}

/// Reason why the helper added no route.
enum Refused {
    /// IPv6 is switched off, so programs cannot use the address.
    NoIpv6,
    /// Another session, perhaps of the same cluster, has the route. A warning tells the user.
    Shared,
    Because(String),
}

impl Refused {
    fn by(net: &TunnelCidr, refusal: &HelperRefusal, because: &[Warning]) -> Self {
        if let HelperRefusal::RangeRefused { why, .. } = refusal {
            return match why {
                RangeTrouble::NoIpv6 => Self::NoIpv6,
                RangeTrouble::Public
                | RangeTrouble::PublicByCluster
                | RangeTrouble::Denied
                | RangeTrouble::HelpersOwn => Self::Because(why.to_string()),
            };
        }
        let mut about = because.iter().filter(|warning| warning.is_about(*net)).peekable();
        if about.peek().is_some() && about.clone().all(Warning::is_shared) {
            return Self::Shared;
        }
        let conflict = about.find_map(|warning| match warning {
            Warning::InUse(conflict) => Some(conflict.to_string()),
            Warning::KeptOut { .. } | Warning::DoubtfulDomain { .. } => None,
        });
        Self::Because(conflict.unwrap_or_else(|| refusal.cause()))
    }
}

fn refuse_all(new: &mut Routes, refused: &mut Vec<(TunnelCidr, Refused)>, why: &str) {
    let all = std::mem::take(new);
    refused.extend(all.nets().map(|net| (net, Refused::Because(why.to_owned()))));
}
