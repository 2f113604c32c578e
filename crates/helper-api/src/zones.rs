//! Zones: domains whose names a session answers. Each kind has its own rule, so that a cluster cannot claim names that
//! do not belong to it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::DnsSuffix;
use crate::plan_error::PlanError;
use crate::suffix::SuffixError;

/// Domains that every session answers: `svc` and `pod`, in which short names of clusters end, and Slipway's own.
const ALWAYS: [&str; 3] = ["svc", "pod", "slipway.internal"];

/// Zones and search domains of a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Zones {
    /// Cluster domain, as the cluster declares it.
    pub cluster: Option<ClusterDomain>,
    /// Namespaces of the cluster, for names such as `web.shop`.
    pub namespaces: Vec<Namespace>,
    /// Reverse zones, such as `96.10.in-addr.arpa`.
    pub reverse: Vec<ReverseZone>,
    /// Domains that the user sends to the cluster.
    pub user: Vec<DnsSuffix>,
    /// Search domains, in order. Each lies in one of the other domains.
    pub search: Vec<DnsSuffix>,
}

impl Zones {
    /// Returns all zones, each once, without the search domains.
    #[must_use]
    pub fn all(&self) -> Vec<&str> {
        let mut all: Vec<&str> = Vec::new();
        let cluster = self.cluster.iter().map(|domain| domain.0.as_str());
        let namespaces = self.namespaces.iter().map(|namespace| namespace.0.as_str());
        let reverse = self.reverse.iter().map(|zone| zone.0.as_str());
        let user = self.user.iter().map(DnsSuffix::as_str);
        for zone in cluster.chain(ALWAYS).chain(user).chain(reverse).chain(namespaces) {
            if !all.contains(&zone) {
                all.push(zone);
            }
        }
        all
    }

    /// Returns these zones without the cluster domain, and the domain if there was one. Search domains below it lose it, so
    /// that short names are still found: `shop.svc.cluster.local` becomes `shop.svc`.
    #[must_use]
    pub fn without_cluster(mut self) -> (Self, Option<ClusterDomain>) {
        let Some(domain) = self.cluster.take() else {
            return (self, None);
        };
        let search = std::mem::take(&mut self.search);
        self.search = search
            .into_iter()
            .filter_map(|suffix| match suffix.as_str().strip_suffix(domain.0.as_str()) {
                Some(rest) if is_within(suffix.as_str(), domain.0.as_str()) => {
                    rest.trim_end_matches('.').parse().ok()
                }
                Some(_) | None => Some(suffix),
            })
            .collect();
        (self, Some(domain))
    }

    /// Returns the length of all zones and search domains in bytes, as [`MAX_SUFFIX_BYTES`](crate::MAX_SUFFIX_BYTES)
    /// counts it.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let search = self.search.iter().map(DnsSuffix::as_str);
        self.all().into_iter().chain(search).map(Self::bytes_of).sum()
    }

    /// Returns the length of one zone in JSON in bytes, with two quotes and a comma.
    #[must_use]
    pub fn bytes_of(zone: &str) -> usize {
        zone.len() + 3
    }

    /// Checks that every search domain lies in a zone.
    pub(crate) fn check(&self) -> Result<(), PlanError> {
        let user = self.user.iter().map(DnsSuffix::as_str);
        let cluster = self.cluster.iter().map(|domain| domain.0.as_str());
        let zones: Vec<&str> = ALWAYS.into_iter().chain(cluster).chain(user).collect();
        let outside = |suffix: &&DnsSuffix| !zones.iter().any(|zone| is_within(suffix.as_str(), zone));
        match self.search.iter().find(outside) {
            Some(suffix) => Err(PlanError::SearchOutside {
                suffix: suffix.to_string(),
            }),
            None => Ok(()),
        }
    }
}

/// Returns whether a name is `zone` or below it.
#[must_use]
pub fn is_within(name: &str, zone: &str) -> bool {
    name.strip_suffix(zone)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Domain that a cluster may declare without the user's consent: it has at least two labels, and does not look like a
/// public suffix (`co.uk`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClusterDomain(DnsSuffix);

impl ClusterDomain {
    /// Returns whether this is `cluster.local`, the default, which belongs to no organization.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.as_str() == "cluster.local"
    }

    /// Returns the domain as text, in lower case and without a dot at the end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl TryFrom<String> for ClusterDomain {
    type Error = ZoneError;

    fn try_from(text: String) -> Result<Self, ZoneError> {
        let suffix = DnsSuffix::try_from(text)?;
        let mut labels = suffix.as_str().split('.').rev();
        let (top, second, third) = (labels.next(), labels.next(), labels.next());
        match (top, second, third) {
            // Public suffixes below a country: co, com, net, org, gov, edu, ac, or.
            (Some(top), Some(second), None) if top.len() == 2 && second.len() <= 3 => {
                Err(ZoneError::PublicSuffix {
                    domain: suffix.to_string(),
                })
            }
            (Some("arpa"), _, _) => Err(ZoneError::PublicSuffix {
                domain: suffix.to_string(),
            }),
            (_, Some(_), _) => Ok(Self(suffix)),
            (_, None, _) => Err(ZoneError::OneLabel {
                domain: suffix.to_string(),
            }),
        }
    }
}

/// Name of a namespace: one label (RFC 1123).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Namespace(DnsSuffix);

impl TryFrom<String> for Namespace {
    type Error = ZoneError;

    fn try_from(text: String) -> Result<Self, ZoneError> {
        let suffix = DnsSuffix::try_from(text)?;
        if suffix.as_str().contains('.') {
            return Err(ZoneError::NoNamespace {
                name: suffix.to_string(),
            });
        }
        Ok(Self(suffix))
    }
}

/// Reverse zone of a network of addresses (RFC 1035 section 3.5, RFC 3596 section 2.5). Never a whole reverse tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ReverseZone(DnsSuffix);

impl TryFrom<String> for ReverseZone {
    type Error = ZoneError;

    fn try_from(text: String) -> Result<Self, ZoneError> {
        let suffix = DnsSuffix::try_from(text)?;
        let is_below = |root: &str| suffix.as_str() != root && is_within(suffix.as_str(), root);
        if is_below("in-addr.arpa") || is_below("ip6.arpa") {
            return Ok(Self(suffix));
        }
        Err(ZoneError::NotReverse {
            name: suffix.to_string(),
        })
    }
}

macro_rules! texts {
    ($($zone:ty),*) => {$(
        impl FromStr for $zone {
            type Err = ZoneError;

            fn from_str(text: &str) -> Result<Self, ZoneError> {
                Self::try_from(text.to_owned())
            }
        }

        impl From<$zone> for String {
            fn from(zone: $zone) -> Self {
                zone.0.into()
            }
        }

        impl fmt::Display for $zone {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

texts!(ClusterDomain, Namespace, ReverseZone);

/// Reason why a text is not a valid zone of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ZoneError {
    /// Not a valid suffix.
    #[error(transparent)]
    Suffix(#[from] SuffixError),
    /// A top-level domain.
    #[error("{domain} is a top-level domain, which a cluster cannot claim")]
    OneLabel {
        /// The domain.
        domain: String,
    },
    /// A public suffix, below which anyone can register domains.
    #[error("{domain} is a public suffix, which a cluster cannot claim")]
    PublicSuffix {
        /// The domain.
        domain: String,
    },
    /// More than one label.
    #[error("{name} is not the name of a namespace, which has no dots")]
    NoNamespace {
        /// The given name.
        name: String,
    },
    /// Not below `in-addr.arpa` or `ip6.arpa`.
    #[error("{name} is not a reverse zone: it must lie below in-addr.arpa or ip6.arpa")]
    NotReverse {
        /// The given name.
        name: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_cannot_claim_a_public_suffix() {
        for domain in ["cluster.local", "k8s.corp.example", "k8s.example", "prod.uk"] {
            assert!(domain.parse::<ClusterDomain>().is_ok(), "{domain}");
        }
        for domain in [
            "com",
            "lab",
            ".",
            "",
            "co.uk",
            "com.au",
            "ac.jp",
            "10.in-addr.arpa",
            "local",
        ] {
            assert!(domain.parse::<ClusterDomain>().is_err(), "{domain}");
        }
    }

    #[test]
    fn namespaces_and_reverse_zones_are_checked() {
        assert!("shop".parse::<Namespace>().is_ok());
        for name in ["shop.svc", "", "in-addr.arpa"] {
            assert!(name.parse::<Namespace>().is_err(), "{name}");
        }
        assert!("96.10.in-addr.arpa".parse::<ReverseZone>().is_ok());
        for name in ["in-addr.arpa", "ip6.arpa", "github.com", "xin-addr.arpa"] {
            assert!(name.parse::<ReverseZone>().is_err(), "{name}");
        }
    }

    #[test]
    fn search_domains_lie_in_a_zone() {
        let zones = |search: &str| Zones {
            cluster: Some("k8s.example".parse().expect("domain")),
            namespaces: vec!["shop".parse().expect("namespace")],
            user: vec!["corp".parse().expect("suffix")],
            search: vec![search.parse().expect("suffix")],
            ..Zones::default()
        };
        for search in ["shop.svc.k8s.example", "k8s.example", "shop.svc", "db.corp"] {
            assert_eq!(zones(search).check(), Ok(()), "{search}");
        }
        for search in ["example", "com", "xk8s.example", "shop"] {
            assert!(zones(search).check().is_err(), "{search}");
        }
    }

    #[test]
    fn without_its_domain_a_cluster_keeps_short_names() {
        let search = [
            "shop.svc.k8s.example",
            "svc.k8s.example",
            "k8s.example",
            "db.corp",
        ];
        let zones = Zones {
            cluster: Some("k8s.example".parse().expect("domain")),
            user: vec!["corp".parse().expect("suffix")],
            search: search.map(|suffix| suffix.parse().expect("suffix")).to_vec(),
            ..Zones::default()
        };
        let (left, domain) = zones.without_cluster();
        assert_eq!(domain.map(String::from).as_deref(), Some("k8s.example"));
        let search: Vec<_> = left.search.iter().map(DnsSuffix::as_str).collect();
        assert_eq!(search, ["shop.svc", "svc", "db.corp"]);
        assert_eq!(left.check(), Ok(()));
        assert_eq!(left.clone().without_cluster(), (left, None));
    }

    #[test]
    fn every_session_answers_svc_and_pod() {
        assert_eq!(Zones::default().all(), ["svc", "pod", "slipway.internal"]);
    }
}
