//! Trust in the domain that a cluster calls its own. Every name below it would be the cluster's, and a cluster may say
//! anything: `com`, or the domain of the company whose laptop this is.

use std::fmt;

use slipway_helper_api::ClusterDomain;
use slipway_names::Name;

/// The domain of a cluster whose administrator chose no other. RFC 6762 keeps `local` from being anybody's on the Internet.
const DEFAULT: &str = "cluster.local";

/// Who says what the cluster's domain is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DomainSaidBy {
    /// The profile, or the command line.
    User,
    /// The cluster: what its kubelet gave the agent's pod to search.
    Cluster,
}

/// Why a domain may be somebody else's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// Everybody may have names below it: the root, a top-level domain, or a public suffix such as `co.uk`.
    Public,
    /// The laptop searches this domain, which is the same, above or below.
    Searched(Name),
    /// The API server, or the proxy before it, has this name, which is the same, above or below.
    ApiServer(Name),
    /// The laptop's own name servers have it.
    OnLaptop,
    /// The laptop's own name servers do not say whether they have it.
    Unknown,
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Public => f.write_str("anybody may have names below it"),
            Self::Searched(search) => write!(f, "this laptop searches `{search}`"),
            Self::ApiServer(host) => write!(f, "the laptop reaches the API server as `{host}`"),
            Self::OnLaptop => f.write_str("the laptop's own name servers have that domain"),
            Self::Unknown => f.write_str("the laptop's own name servers do not say whether they have it"),
        }
    }
}

/// What is to be made of a domain before anybody is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// It is the cluster's.
    Given,
    /// It is, if the laptop's own name servers say that it does not exist.
    Unless,
    /// It may be somebody else's.
    Doubted(Doubt),
}

/// Judges a domain by its own words, the laptop's search domains and the names that lead to the API server.
pub(crate) fn judge(domain: &Name, said_by: DomainSaidBy, searched: &[Name], api_server: &[Name]) -> Trust {
    let text = domain.to_string();
    let text = text.trim_end_matches('.');
    if said_by == DomainSaidBy::User || text == DEFAULT {
        return Trust::Given;
    }
    if text.parse::<ClusterDomain>().is_err() || is_public_suffix(text) {
        return Trust::Doubted(Doubt::Public);
    }
    let near = |names: &[Name]| {
        let touching = names
            .iter()
            .find(|name| name.is_within(domain) || domain.is_within(name));
        touching.cloned()
    };
    if let Some(search) = near(searched) {
        return Trust::Doubted(Doubt::Searched(search));
    }
    match near(api_server) {
        Some(host) => Trust::Doubted(Doubt::ApiServer(host)),
        None => Trust::Unless,
    }
}

/// Whether the Public Suffix List has the domain itself.
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
        let api_server = names(&["api.prod.example.net"]);
        judge(
            &domain.parse().unwrap(),
            DomainSaidBy::Cluster,
            &searched,
            &api_server,
        )
    }

    #[test]
    fn the_default_and_the_users_word_are_taken() {
        assert_eq!(by_cluster("cluster.local"), Trust::Given);
        let lab = "lab".parse().unwrap();
        assert_eq!(judge(&lab, DomainSaidBy::User, &[], &[]), Trust::Given);
    }

    #[test]
    fn a_domain_of_others_is_doubted() {
        for domain in [".", "com", "lab", "co.uk", "github.io", "blogspot.com"] {
            assert_eq!(by_cluster(domain), Trust::Doubted(Doubt::Public), "{domain}");
        }
        let search = Doubt::Searched("corp.internal".parse().unwrap());
        for domain in ["corp.internal", "k8s.corp.internal"] {
            assert_eq!(by_cluster(domain), Trust::Doubted(search.clone()), "{domain}");
        }
        let host = Doubt::ApiServer("api.prod.example.net".parse().unwrap());
        for domain in ["example.net", "prod.example.net", "x.api.prod.example.net"] {
            assert_eq!(by_cluster(domain), Trust::Doubted(host.clone()), "{domain}");
        }
    }

    #[test]
    fn any_other_is_asked_of_the_laptop() {
        for domain in ["k8s.corp.example", "cluster.prod", "example.org"] {
            assert_eq!(by_cluster(domain), Trust::Unless, "{domain}");
        }
    }
}
