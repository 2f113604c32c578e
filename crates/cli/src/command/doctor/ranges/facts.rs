//! Verdict about a network of a session, and its form as data. No I/O.

use ipnet::IpNet;
use slipway_control_api::{CaptureStatus, NetworkHolder, Overlap, RangeFacts, RangeWinner, SessionStatus};
use slipway_helper_api::{RangeError, TunnelCidr};
use slipway_laptop::{
    By, Holder, InUse, KnownRoute, Maker, Overridden, Probe, RouteTo, Union, conflicts, is_private,
    overridden, rule_before_main,
};

use super::laptop::Laptop;
use super::wanted::Wanted;

/// What overlaps a network.
pub(super) struct Judged<'a> {
    /// Why no laptop routes it, if so.
    pub(super) unroutable: Option<RangeError>,
    /// Networks of the laptop that the helper does not take from it.
    pub(super) others: Vec<InUse>,
    /// Networks of sessions that are connected.
    pub(super) sessions: Vec<InUse>,
    /// Parts whose packets go elsewhere although a session has them, or would although one had them.
    pub(super) overridden: Vec<Overridden>,
    /// Wider routes of others, of which a session may have a part.
    pub(super) around: Vec<&'a KnownRoute>,
    /// Networks of other profiles that overlap it.
    pub(super) profiles: Vec<(&'a str, Vec<IpNet>)>,
}

impl<'a> Judged<'a> {
    /// Judges a network. `union` has all networks of the session.
    pub(super) fn of(range: IpNet, union: &Union, laptop: &'a Laptop) -> Self {
        let in_use = conflicts(range, false, union, &laptop.routes, &laptop.servers, 0);
        let (sessions, others): (Vec<InUse>, Vec<InUse>) = in_use
            .into_iter()
            .partition(|in_use| in_use.holder == Holder::Session);
        let is_around = |route: &&KnownRoute| {
            let is_in_use = others.iter().any(|other| other.net == route.net);
            route.maker == Maker::Other && is_private(route.net) && route.net.contains(&range) && !is_in_use
        };
        let overlapping = |nets: &[IpNet]| -> Vec<IpNet> {
            let overlaps = |net: &IpNet| net.contains(&range) || range.contains(net);
            nets.iter().copied().filter(overlaps).collect()
        };
        let profiles = laptop.profiles.iter();
        Self {
            unroutable: TunnelCidr::try_from(range).err(),
            overridden: taken(range, !sessions.is_empty(), laptop),
            around: laptop.routes.iter().filter(is_around).collect(),
            profiles: profiles
                .map(|(name, nets)| (name.as_str(), overlapping(nets)))
                .filter(|(_, nets)| !nets.is_empty())
                .collect(),
            sessions,
            others,
        }
    }

    /// Returns the verdict as data.
    pub(super) fn facts(&self, wanted: &Wanted, laptop: &Laptop) -> RangeFacts {
        let mut overlaps: Vec<Overlap> = Vec::new();
        let in_use = self.others.iter().chain(&self.sessions);
        overlaps.extend(in_use.map(|in_use| of_in_use(in_use, &laptop.sessions)));
        overlaps.extend(self.overridden.iter().flat_map(of_overridden));
        overlaps.extend(self.around.iter().map(|route| Overlap {
            net: route.net,
            device: named(&route.device),
            holder: NetworkHolder::Routed,
            wins: false,
        }));
        overlaps.extend(self.profiles.iter().flat_map(|(profile, nets)| {
            nets.iter().map(|net| Overlap {
                net: *net,
                device: None,
                holder: NetworkHolder::Profile {
                    profile: (*profile).to_owned(),
                },
                wins: false,
            })
        }));
        // A stable sort: what decides comes first.
        overlaps.sort_by_key(|overlap| overlap.net);
        overlaps.dedup();
        let is_laptops = self.unroutable.is_some() || !self.others.is_empty() || !self.overridden.is_empty();
        let goes_to = if is_laptops {
            RangeWinner::Laptop
        } else if !self.sessions.is_empty() {
            RangeWinner::Session
        } else {
            RangeWinner::Cluster
        };
        RangeFacts {
            range: wanted.range,
            origin: wanted.origin,
            goes_to,
            overlaps,
        }
    }
}

/// Returns the parts of a network whose packets go elsewhere by a rule, or by another route in spite of a session.
fn taken(range: IpNet, has_session: bool, laptop: &Laptop) -> Vec<Overridden> {
    let Laptop { rules, user, .. } = laptop;
    let stays = |probe: &Probe, answer: &RouteTo| {
        has_session || rule_before_main(answer, rules, probe.address, *user).is_some()
    };
    let answers: Vec<(Probe, RouteTo)> = laptop
        .answers
        .iter()
        .filter(|(probe, answer)| range.contains(&probe.net) && stays(probe, answer))
        .cloned()
        .collect();
    overridden(&answers, rules, *user)
}

fn of_in_use(in_use: &InUse, sessions: &[SessionStatus]) -> Overlap {
    Overlap {
        net: in_use.net,
        device: named(&in_use.device),
        holder: match in_use.holder {
            Holder::Gateway => NetworkHolder::Gateway,
            Holder::Attached => NetworkHolder::Attached,
            Holder::Session => session_with(in_use.net, sessions),
            Holder::Routed => NetworkHolder::Routed,
            Holder::NameServer => NetworkHolder::NameServer,
        },
        wins: true,
    }
}

fn of_overridden(overridden: &Overridden) -> impl Iterator<Item = Overlap> {
    overridden.nets.iter().map(|net| Overlap {
        net: *net,
        device: overridden.device.clone(),
        holder: match &overridden.by {
            By::Rule(rule) => NetworkHolder::Rule { rule: rule.clone() },
            By::Route(_) | By::Unknown => NetworkHolder::Routed,
        },
        wins: true,
    })
}

/// Returns the session that has routed this network.
pub(super) fn session_with(net: IpNet, sessions: &[SessionStatus]) -> NetworkHolder {
    let has = |session: &&SessionStatus| {
        let capture = session.capture.as_ref().and_then(CaptureStatus::vpn_tcp);
        capture.is_some_and(|capture| capture.routes.contains(&net))
    };
    let session = sessions.iter().find(has);
    NetworkHolder::Session {
        session: session.map(|session| session.id.clone()),
        profile: session.and_then(|session| session.profile.clone()),
    }
}

fn named(device: &str) -> Option<String> {
    (!device.is_empty()).then(|| device.to_owned())
}
