//! Trust in the domain that a cluster declares. The session answers every name below it, and a cluster can declare any
//! domain, even `com` or the domain of the laptop's own company.

use std::collections::BTreeSet;
use std::fmt;

use slipway_names::Name;

/// Cluster domain unless the cluster's administrator chose another one. It is always trusted: by RFC 6762, `local`
/// belongs to no organization on the Internet.
const DEFAULT: &str = "cluster.local";

/// Source of a cluster domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DomainSource {
    /// The profile, or the command line.
    User,
    /// The cluster: the search list that its kubelet gave to the agent's pod.
    Cluster,
}

/// Reason why a domain may belong to others than the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// Anyone can register domains below it: the root, a top-level domain, or a public suffix such as `co.uk`.
    Public,
    /// The laptop has this search domain, which is the same, a parent or a subdomain.
    Searched(Name),
    /// The session needs this name itself, which is the same, a parent or a subdomain.
    Needed(Name),
    /// The laptop's own name servers have the domain.
    OnLaptop,
    /// The laptop's own name servers did not answer whether they have the domain.
    Unknown,
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Public => f.write_str("anyone can register domains below it"),
            Self::Searched(search) => write!(f, "`{search}` is a search domain of this laptop"),
            Self::Needed(host) => write!(
                f,
                "this session needs `{host}` itself, to reach the API server or to log in"
            ),
            Self::OnLaptop => f.write_str("the laptop's own name servers have that domain"),
            Self::Unknown => f.write_str("the laptop's own name servers did not answer whether they have it"),
        }
    }
}

/// Trust in a cluster domain, before a name server is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// The domain belongs to the cluster.
    Given,
    /// The domain belongs to the cluster unless the laptop's own name servers have it.
    Unless,
    /// The domain may belong to others.
    Doubted(Doubt),
}

/// Judges a domain by its labels, the laptop's search domains and the names that the session needs itself.
pub(crate) fn judge(
    domain: &Name,
    source: DomainSource,
    searched: &[Name],
    needed: &BTreeSet<Name>,
) -> Trust {
    let text = domain.to_string();
    let text = text.trim_end_matches('.');
    if source == DomainSource::User || text == DEFAULT {
        return Trust::Given;
    }
    if domain.label_count() < 2 || domain.last_label() == Some(b"arpa") || is_public_suffix(text) {
        return Trust::Doubted(Doubt::Public);
    }
    let touches = |name: &&Name| name.is_within(domain) || domain.is_within(name);
    if let Some(search) = searched.iter().find(touches) {
        return Trust::Doubted(Doubt::Searched(search.clone()));
    }
    match needed.iter().find(touches) {
        Some(host) => Trust::Doubted(Doubt::Needed(host.clone())),
        None => Trust::Unless,
    }
}

/// Returns whether the domain is an entry of the Public Suffix List.
fn is_public_suffix(domain: &str) -> bool {
    psl::suffix(domain.as_bytes()).is_some_and(|suffix| suffix.is_known() && suffix == domain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(texts: &[&str]) -> Vec<Name> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn by_cluster(domain: &str) -> Trust {
        let searched = names(&["corp.internal"]);
        let needed = names(&["api.prod.example.net"]).into_iter().collect();
        judge(
            &domain.parse().unwrap(),
            DomainSource::Cluster,
            &searched,
            &needed,
        )
    }

    #[test]
    fn the_default_and_the_users_domain_are_trusted() {
        assert_eq!(by_cluster("cluster.local"), Trust::Given);
        let lab = "lab".parse().unwrap();
        assert_eq!(
            judge(&lab, DomainSource::User, &[], &BTreeSet::new()),
            Trust::Given
        );
    }

    #[test]
    fn a_domain_of_others_is_doubted() {
        for domain in [
            ".",
            "com",
            "lab",
            "co.uk",
            "10.in-addr.arpa",
            "github.io",
            "blogspot.com",
        ] {
            assert_eq!(by_cluster(domain), Trust::Doubted(Doubt::Public), "{domain}");
        }
        let search = Doubt::Searched("corp.internal".parse().unwrap());
        for domain in ["corp.internal", "k8s.corp.internal"] {
            assert_eq!(by_cluster(domain), Trust::Doubted(search.clone()), "{domain}");
        }
        let host = Doubt::Needed("api.prod.example.net".parse().unwrap());
        for domain in ["example.net", "prod.example.net", "x.api.prod.example.net"] {
            assert_eq!(by_cluster(domain), Trust::Doubted(host.clone()), "{domain}");
        }
    }

    #[test]
    fn any_other_domain_depends_on_the_name_servers() {
        for domain in ["k8s.corp.example", "cluster.prod", "example.org"] {
            assert_eq!(by_cluster(domain), Trust::Unless, "{domain}");
        }
    }
}
