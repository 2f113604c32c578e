//! Domains that the laptop's resolver is to send here, where it sends only some: systemd-resolved asks a link about the
//! link's domains, and tries its search domains behind names without dots only.
//!
//! So `web.shop` comes here if `shop` is such a domain. The session's own namespace always is one. Another one is,
//! unless the laptop's own name servers have a domain of that name: a namespace `dev` is no reason to have every public
//! name below `dev` pass through a session, although it would answer them as before.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use slipway_helper_api::{ClusterDomain, DnsSuffix, Namespace, ReverseZone, Zones};
use slipway_method::{DomainSource, NamePlan};
use slipway_names::{Label, Name, Namespaces};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;

use crate::lease_side::Names;
use crate::need::Need;

/// Most domains of one link, search domains included: systemd-resolved before version 247 takes no more than 256.
const MOST: usize = 240;

/// Most reverse zones of one range; a wider zone covers it from there on.
const MOST_REVERSE: u32 = 16;

/// How many namespaces are asked about at one time.
const AT_ONCE: usize = 8;

/// When the laptop's name servers are asked once more about what they did not say.
const AGAIN: Duration = Duration::from_secs(30);

/// What is the same for a session's whole life.
#[derive(Clone, Debug)]
pub(crate) struct Domains {
    zones: Zones,
    own: Label,
}

impl Domains {
    /// The domains of a session with these rules about names.
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
        // Without a domain of its own, a cluster's names are found by what they end in short of it.
        let search = if taken {
            vec![
                format!("{own}.svc.{domain}"),
                format!("svc.{domain}"),
                domain.clone(),
            ]
        } else {
            vec![format!("{own}.svc"), "svc".to_owned()]
        };
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
        }
    }

    /// All of them, with these namespaces beside the session's own.
    pub(crate) fn with(&self, namespaces: &[String]) -> Zones {
        let mut zones = self.zones.clone();
        let room = MOST.saturating_sub(zones.all().len() + zones.search.len());
        if namespaces.len() > room {
            tracing::warn!(
                left_out = namespaces.len() - room,
                "there are more domains than the laptop's resolver takes; names of some namespaces need `.svc`"
            );
        }
        zones
            .namespaces
            .extend(parsed::<Namespace>(namespaces.iter().take(room)));
        zones
    }

    /// Keeps the laptop's resolver sending what it should as namespaces come and go.
    pub(crate) async fn follow(
        self,
        mut namespaces: watch::Receiver<Namespaces>,
        names: Names,
        needs: mpsc::Sender<Need>,
    ) {
        let mut verdicts: BTreeMap<Label, bool> = BTreeMap::new();
        let mut sent = self.with(&[]);
        loop {
            let known = match &*namespaces.borrow_and_update() {
                Namespaces::Known(known) => known.clone(),
                Namespaces::Unknown => BTreeSet::new(),
            };
            verdicts.retain(|namespace, _| known.contains(namespace));
            let new = known
                .into_iter()
                .filter(|one| !verdicts.contains_key(one) && *one != self.own)
                .collect();
            let undecided = judge(new, &names, &mut verdicts).await;
            let ours: Vec<String> = verdicts
                .iter()
                .filter(|(_, is_laptops)| !**is_laptops)
                .map(|(namespace, _)| namespace.to_string())
                .collect();
            let wanted = self.with(&ours);
            if wanted != sent {
                sent.clone_from(&wanted);
                if needs.send(Need::Domains(wanted)).await.is_err() {
                    return;
                }
            }
            let again = async {
                if undecided {
                    tokio::time::sleep(AGAIN).await;
                } else {
                    std::future::pending().await
                }
            };
            tokio::select! {
                changed = namespaces.changed() => if changed.is_err() { return },
                () = again => {}
            }
        }
    }
}

/// Asks the laptop's name servers about namespaces, and says whether any of them is still undecided.
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

/// The zones whose names are those of the range's addresses (RFC 1035 section 3.5, RFC 3596 section 2.5).
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
                Err(_wider) => vec![zone(range.network().octets())],
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

/// Those of the names that the helper takes; the others cannot be sent to us by their domain.
fn parsed<T: FromStr<Err: Display>>(names: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<T> {
    let parse = |name: &str| match name.parse() {
        Ok(parsed) => Some(parsed),
        Err(error) => {
            tracing::debug!(name, %error, "a domain is left out");
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
    fn names_of_the_cluster_and_the_user_come_here() {
        let zones = domains(scope(), DomainSource::Cluster).with(&["orders".to_owned()]);
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
    fn a_doubtful_domain_does_not_come_here() {
        let scope = Scope {
            domain_is_doubtful: true,
            ..Scope::new("com".parse().unwrap(), "shop".parse().unwrap())
        };
        let zones = domains(scope, DomainSource::Cluster).with(&[]);
        assert_eq!(
            zones.all(),
            ["svc", "pod", "slipway.internal", "db.example", "shop"]
        );
        assert_eq!(search(&zones), ["shop.svc", "svc"]);
    }

    #[test]
    fn a_domain_by_the_users_word_comes_here_whatever_it_is() {
        let scope = Scope::new("lab".parse().unwrap(), "shop".parse().unwrap());
        let zones = domains(scope, DomainSource::User).with(&[]);
        assert!(zones.all().contains(&"lab") && zones.cluster.is_none());
        assert_eq!(search(&zones), ["shop.svc.lab", "svc.lab", "lab"]);
    }

    #[test]
    fn there_are_never_more_domains_than_the_laptops_resolver_takes() {
        let many: Vec<String> = (0..1000).map(|number| format!("team-{number}")).collect();
        let zones = domains(scope(), DomainSource::Cluster).with(&many);
        assert_eq!(zones.all().len() + zones.search.len(), MOST);
        assert_eq!(
            zones.all()[0],
            "k8s.example",
            "what every session needs comes first"
        );
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
