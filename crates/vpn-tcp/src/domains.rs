//! Domains about which systemd-resolved asks the session.
//!
//! systemd-resolved asks a link only about the link's domains, and appends its search domains only to names without
//! dots. So a question for `web.shop` reaches the session only if `shop` is one of the link's domains. The session's
//! own namespace always is. Another namespace is, unless the laptop's own name servers have a domain of that name:
//! because of a namespace `dev`, not every public name below `dev` should pass through the session. Where there are more
//! namespaces than systemd-resolved takes domains, the status names those that were left out.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use slipway_helper_api::{
    ClusterDomain, DnsMode, DnsSuffix, MAX_SUFFIX_BYTES, Namespace, ReverseZone, Zones,
};
use slipway_method::{DomainSource, NamePlan};
use slipway_names::{Label, Name, Namespaces};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::lease_side::Names;
use crate::left_out::LeftOut;
use crate::need::Need;
use crate::reach::{Reach, set};

/// Maximum number of domains, including search domains: systemd-resolved before version 247 accepts at most 256.
const MOST: usize = 240;

/// Maximum number of reverse zones of a range. A range that needs more is covered by one wider zone.
const MOST_REVERSE: u32 = 16;

/// Maximum number of namespaces about which the laptop's name servers are asked at a time.
const AT_ONCE: usize = 8;

/// Time after which the laptop's name servers are asked again about namespaces without an answer.
const AGAIN: Duration = Duration::from_secs(30);

/// Domains of a session except other namespaces. They change only with what the user sends to the cluster.
#[derive(Clone, Debug)]
pub(crate) struct Domains {
    zones: Zones,
    own: Label,
    /// More namespaces that the user named. They may be unknown otherwise.
    also: Vec<Label>,
}

/// What determines the domains of a session at a time.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// The cluster's namespaces.
    pub(crate) namespaces: Namespaces,
    /// All other domains.
    pub(crate) domains: Domains,
    /// Number of times that the other domains were replaced.
    pub(crate) number: u64,
}

/// What systemd-resolved has of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Applied {
    /// The number of the wanted domains.
    pub(crate) number: u64,
    /// Whether the helper has set them. If not, the previous ones are in force.
    pub(crate) is_set: bool,
}

impl Domains {
    /// Returns the domains of a session with this plan.
    pub(crate) fn new(plan: &NamePlan) -> Self {
        let scope = &plan.scope;
        let domain = text(&scope.cluster_domain);
        let own = scope.namespace.to_string();
        let users = scope.suffixes.iter().chain(&scope.hosts).map(text);
        let mut users: Vec<String> = users.collect();
        if plan.domain_source == DomainSource::User {
            users.insert(0, domain.clone());
        }
        let taken = !scope.domain_is_doubtful;
        // Without a cluster domain, programs use names that end in `.svc`.
        let services = if taken {
            format!("svc.{domain}")
        } else {
            "svc".to_owned()
        };
        let namespaces = std::iter::once(&scope.namespace).chain(&scope.also_namespaces);
        let mut search: Vec<String> = namespaces
            .map(|namespace| format!("{namespace}.{services}"))
            .collect();
        search.push(services);
        search.extend(taken.then(|| domain.clone()));
        let is_clusters = taken && plan.domain_source == DomainSource::Cluster;
        let cluster: Option<ClusterDomain> = if is_clusters {
            parsed([&domain]).pop()
        } else {
            None
        };
        let zones = Zones {
            cluster,
            namespaces: parsed::<Namespace>([&own]),
            reverse: parsed::<ReverseZone>(
                &scope
                    .reverse
                    .iter()
                    .flat_map(|range| reverse_zones(*range))
                    .collect::<Vec<_>>(),
            ),
            user: parsed::<DnsSuffix>(&users),
            search: parsed::<DnsSuffix>(&search),
        };
        Self {
            zones,
            own: scope.namespace.clone(),
            also: scope.also_namespaces.clone(),
        }
    }

    /// Returns all domains, with these namespaces as well, as many as there is room for, and those that are left out.
    pub(crate) fn with(&self, namespaces: &[Label]) -> (Zones, Option<LeftOut>) {
        let mut zones = self.zones.clone();
        let mut room = MOST.saturating_sub(zones.all().len() + zones.search.len());
        let mut bytes = MAX_SUFFIX_BYTES.saturating_sub(zones.bytes());
        let taken: Vec<String> = namespaces
            .iter()
            .map(Label::to_string)
            .take_while(|namespace| {
                let length = Zones::bytes_of(namespace);
                let fits = room > 0 && length <= bytes;
                if fits {
                    room -= 1;
                    bytes -= length;
                }
                fits
            })
            .collect();
        let left_out = LeftOut::of(namespaces.get(taken.len()..).unwrap_or_default());
        zones.namespaces.extend(parsed::<Namespace>(taken));
        (zones, left_out)
    }
}

/// Updates the domains of the lease as namespaces come and go and the user's domains change, until the session ends. Does
/// nothing while the laptop's programs do not ask systemd-resolved. `applied` gets the number of what it has.
pub(crate) async fn follow(
    mut wanted: watch::Receiver<Wanted>,
    applied: watch::Sender<Applied>,
    reach: watch::Sender<Reach>,
    names: Names,
    needs: mpsc::Sender<Need>,
) {
    let mut verdicts: BTreeMap<Label, bool> = BTreeMap::new();
    let (mut sent, _) = wanted.borrow().domains.with(&[]);
    let mut seen = reach.subscribe();
    loop {
        let is_resolved = |reach: &Reach| reach.dns == Some(DnsMode::Resolved);
        if !is_resolved(&seen.borrow()) {
            publish(&reach, None);
        }
        let Ok(moves) = seen.wait_for(is_resolved).await.map(|reach| reach.moves) else {
            return;
        };
        let Wanted {
            namespaces,
            domains,
            number,
        } = wanted.borrow_and_update().clone();
        let mut known = match namespaces {
            Namespaces::Known(known) => known,
            Namespaces::Unknown => BTreeSet::new(),
        };
        known.extend(domains.also.iter().cloned());
        verdicts.retain(|namespace, _| known.contains(namespace));
        let new = known
            .into_iter()
            .filter(|one| !verdicts.contains_key(one) && *one != domains.own)
            .collect();
        let undecided = judge(new, &names, &mut verdicts).await;
        let is_ours = |namespace: &&Label| verdicts.get(*namespace) == Some(&false);
        let others = verdicts
            .keys()
            .filter(|namespace| !domains.also.contains(namespace));
        // Those that the user named come first, because there may be no room for all.
        let ours: Vec<Label> = domains
            .also
            .iter()
            .chain(others)
            .filter(is_ours)
            .cloned()
            .collect();
        let (zones, left_out) = domains.with(&ours);
        publish(&reach, left_out);
        let mut is_set = true;
        if zones != sent {
            let (done, replaced) = oneshot::channel();
            let need = Need::Domains {
                zones: zones.clone(),
                done,
            };
            if needs.send(need).await.is_err() {
                return;
            }
            let Ok(outcome) = replaced.await else { return };
            is_set = outcome;
            if is_set {
                sent = zones;
            }
        }
        applied.send_replace(Applied { number, is_set });
        let again = async {
            if undecided || !is_set {
                tokio::time::sleep(AGAIN).await;
            } else {
                std::future::pending().await
            }
        };
        tokio::select! {
            changed = wanted.changed() => if changed.is_err() { return },
            () = again => {}
            moved = seen.wait_for(|reach| reach.moves != moves || !is_resolved(reach)) => {
                drop(moved);
                verdicts.clear();
            }
        }
    }
}

fn publish(reach: &watch::Sender<Reach>, left_out: Option<LeftOut>) {
    reach.send_if_modified(|reach| set(&mut reach.left_out, left_out));
}

/// Asks the laptop's name servers whether namespaces are domains there. Returns whether any is still undecided.
async fn judge(new: Vec<Label>, names: &Names, verdicts: &mut BTreeMap<Label, bool>) -> bool {
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    let mut asking = JoinSet::new();
    for namespace in new {
        let (names, permits) = (names.clone(), permits.clone());
        asking.spawn(async move {
            let _permit = permits.acquire_owned().await;
            let is_laptops = names.laptop_has_domain(&namespace.clone().into()).await;
            (namespace, is_laptops)
        });
    }
    let mut undecided = false;
    while let Some(asked) = asking.join_next().await {
        match asked {
            Ok((namespace, Some(is_laptops))) => {
                verdicts.insert(namespace, is_laptops);
            }
            Ok((_, None)) | Err(_) => undecided = true,
        }
    }
    undecided
}

/// Returns the reverse zones that cover a range (RFC 1035 section 3.5, RFC 3596 section 2.5).
fn reverse_zones(range: IpNet) -> Vec<String> {
    match range {
        IpNet::V4(range) => {
            let whole = range.prefix_len().div_ceil(8) * 8;
            let prefix = if 1 << (whole - range.prefix_len()) > MOST_REVERSE {
                whole - 8
            } else {
                whole
            };
            let zone = |octets: [u8; 4]| {
                let labels = octets.iter().take((prefix / 8).into()).rev();
                labels.map(|octet| format!("{octet}.")).collect::<String>() + "in-addr.arpa"
            };
            match range.subnets(prefix) {
                Ok(parts) => parts.map(|part| zone(part.network().octets())).collect(),
                // The zone is wider than the range.
                Err(_) => vec![zone(range.network().octets())],
            }
        }
        IpNet::V6(range) => {
            let prefix = range.prefix_len().div_ceil(4) * 4;
            let parts = range.subnets(prefix).into_iter().flatten();
            let zone = |bits: u128| {
                let nibbles = (0..u32::from(prefix) / 4).rev();
                let labels = nibbles.map(|place| format!("{:x}.", (bits >> (124 - 4 * place)) & 0xf));
                labels.collect::<String>() + "ip6.arpa"
            };
            parts.map(|part| zone(part.network().into())).collect()
        }
    }
}

/// Returns the names that the helper accepts, and leaves out the others.
fn parsed<T: FromStr<Err: Display>>(names: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<T> {
    let parse = |name: &str| match name.parse() {
        Ok(parsed) => Some(parsed),
        Err(error) => {
            tracing::debug!(name, %error, "domain left out");
            None
        }
    };
    names
        .into_iter()
        .filter_map(|name| parse(name.as_ref()))
        .collect()
}

fn text(name: &Name) -> String {
    name.to_string().trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use slipway_names::Scope;

    use super::*;

    fn scope() -> Scope {
        Scope {
            reverse: vec!["10.96.0.0/16".parse().unwrap()],
            ..Scope::new("k8s.example".parse().unwrap(), "shop".parse().unwrap())
        }
    }

    fn domains(scope: Scope, domain_source: DomainSource) -> Domains {
        let scope = Scope {
            hosts: ["db.example".parse().unwrap()].into(),
            ..scope
        };
        Domains::new(&NamePlan { scope, domain_source })
    }

    fn search(zones: &Zones) -> Vec<&str> {
        zones.search.iter().map(DnsSuffix::as_str).collect()
    }

    #[test]
    fn domains_of_cluster_and_user_are_included() {
        let (zones, left_out) = domains(scope(), DomainSource::Cluster).with(&["orders".parse().unwrap()]);
        assert_eq!(left_out, None);
        assert_eq!(
            zones.all(),
            [
                "k8s.example",
                "svc",
                "pod",
                "slipway.internal",
                "db.example",
                "96.10.in-addr.arpa",
                "shop",
                "orders"
            ]
        );
        assert_eq!(
            search(&zones),
            ["shop.svc.k8s.example", "svc.k8s.example", "k8s.example"]
        );
    }

    #[test]
    fn a_doubtful_domain_is_left_out() {
        let scope = Scope {
            domain_is_doubtful: true,
            ..Scope::new("com".parse().unwrap(), "shop".parse().unwrap())
        };
        let (zones, _) = domains(scope, DomainSource::Cluster).with(&[]);
        assert_eq!(
            zones.all(),
            ["svc", "pod", "slipway.internal", "db.example", "shop"]
        );
        assert_eq!(search(&zones), ["shop.svc", "svc"]);
    }

    #[test]
    fn any_domain_of_the_user_is_included() {
        let scope = Scope::new("lab".parse().unwrap(), "shop".parse().unwrap());
        let (zones, _) = domains(scope, DomainSource::User).with(&[]);
        assert!(zones.all().contains(&"lab") && zones.cluster.is_none());
        assert_eq!(search(&zones), ["shop.svc.lab", "svc.lab", "lab"]);
    }

    #[test]
    fn namespaces_beyond_the_limit_are_named() {
        let many: Vec<Label> = (100..999)
            .map(|number| format!("team-{number}").parse().unwrap())
            .collect();
        let (zones, left_out) = domains(scope(), DomainSource::Cluster).with(&many);
        assert_eq!(zones.all().len() + zones.search.len(), MOST);
        assert_eq!(
            zones.all()[0],
            "k8s.example",
            "the domains of every session come first"
        );
        let left_out = left_out.unwrap();
        let taken = zones.namespaces.len() - 1;
        let range = format!("from `{}` to `team-998`", many[taken]);
        assert!(left_out.to_string().contains(&range), "{left_out}");
    }

    #[test]
    fn long_namespaces_fit_a_request() {
        let many: Vec<Label> = (100..300)
            .map(|number| format!("{}-{number}", "long".repeat(14)).parse().unwrap())
            .collect();
        let (zones, left_out) = domains(scope(), DomainSource::Cluster).with(&many);
        assert!(left_out.is_some());
        assert!(zones.bytes() <= MAX_SUFFIX_BYTES);
        assert!(zones.namespaces.len() > 150);
    }

    #[test]
    fn a_range_is_covered_by_few_zones() {
        let zones = |range: &str| reverse_zones(range.parse().unwrap());
        assert_eq!(zones("10.96.0.0/16"), ["96.10.in-addr.arpa"]);
        assert_eq!(zones("10.0.0.0/8"), ["10.in-addr.arpa"]);
        assert_eq!(zones("10.244.3.0/24"), ["3.244.10.in-addr.arpa"]);
        assert_eq!(zones("10.244.3.9/32"), ["9.3.244.10.in-addr.arpa"]);
        assert_eq!(zones("10.96.0.0/12").len(), 16);
        assert!(zones("10.96.0.0/12").contains(&"111.10.in-addr.arpa".to_owned()));
        assert_eq!(zones("10.96.128.0/17"), ["96.10.in-addr.arpa"]);
        assert_eq!(zones("fd00:10:96::/112").len(), 1);
        assert_eq!(
            zones("fd00:10:96::/112")[0],
            "0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.9.0.0.0.1.0.0.0.0.d.f.ip6.arpa"
        );
        assert_eq!(zones("fd00::/6").len(), 4);
    }
}
