//! Plan of names: the rules of the resolver, made of the profile and of what is known of the cluster.

use ipnet::IpNet;
use slipway_names::{Label, Name, Namespaces, Scope};
use slipway_problem::Fault;
use slipway_profile::{AlsoProxy, Profile};

use crate::cluster_domain::{DomainSource, Trust, judge};

/// The domain of a cluster whose administrator chose no other.
const DEFAULT_DOMAIN: &str = "cluster.local";

/// What is known of the cluster's names.
#[derive(Clone, Copy, Debug)]
pub struct ClusterNames<'a> {
    /// The cluster's domain as the agent's pod was told it.
    pub domain: Option<&'a str>,
    /// The session's namespace.
    pub namespace: &'a str,
    /// All namespaces.
    pub namespaces: &'a Namespaces,
    /// Networks whose reverse names the cluster answers.
    pub reverse: &'a [IpNet],
    /// The names by which the laptop reaches the API server: its own, and that of a proxy before it.
    pub api_server: &'a [String],
}

/// The rules about names that a method starts with. The method adds what it learns from the laptop.
#[derive(Clone, Debug)]
pub struct NamePlan {
    /// The rules. What the laptop has a meaning for itself, and what its resolver searches, is not in them.
    pub scope: Scope,
    /// By whose word the cluster's domain is what `scope` says.
    pub domain_source: DomainSource,
}

/// A name of the profile or of the kubeconfig that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a name that DNS can hold")]
pub struct BadName(pub String);

impl Fault for BadName {
    fn code(&self) -> &str {
        "bad-name"
    }

    fn remedy(&self) -> String {
        "Correct the name in the profile or on the command line.".to_owned()
    }
}

impl NamePlan {
    /// The plan of a profile, which has a name of its own if it is `saved`.
    ///
    /// # Errors
    ///
    /// [`BadName`] where a name cannot be one of DNS.
    pub fn new(profile: &Profile, saved: bool, cluster: &ClusterNames<'_>) -> Result<Self, BadName> {
        let (domain, domain_source) = cluster_domain(profile, cluster.domain);
        let mut scope = Scope::new(domain, label(cluster.namespace)?);
        scope.namespaces = cluster.namespaces.clone();
        scope.reverse = cluster.reverse.to_vec();
        scope.profile = saved.then(|| label(profile.name.as_str())).transpose()?;
        let suffixes = profile.dns.suffixes.iter();
        scope.suffixes = suffixes
            .map(|suffix| name(suffix.as_str()))
            .collect::<Result<_, _>>()?;
        let hosts = profile.also_proxy.iter().filter_map(|extra| match extra {
            AlsoProxy::Host(host) => Some(name(host.as_str())),
            AlsoProxy::Ip(_) | AlsoProxy::Cidr(_) => None,
        });
        scope.hosts = hosts.collect::<Result<_, _>>()?;
        // An address is no name, and needs no rule.
        let api_server = cluster.api_server.iter();
        scope.api_server = api_server.filter_map(|host| host.parse().ok()).collect();
        Ok(Self { scope, domain_source })
    }

    /// Whether the cluster's domain may be taken for the cluster's. `searched` are the domains that the laptop searches.
    #[must_use]
    pub fn trust(&self, searched: &[Name]) -> Trust {
        judge(
            &self.scope.cluster_domain,
            self.domain_source,
            searched,
            &self.scope.api_server,
        )
    }
}

fn name(text: &str) -> Result<Name, BadName> {
    text.parse().map_err(|_| BadName(text.to_owned()))
}

fn label(text: &str) -> Result<Label, BadName> {
    text.parse().map_err(|_| BadName(text.to_owned()))
}

/// The domain of the cluster's names, and by whose word.
fn cluster_domain(profile: &Profile, told: Option<&str>) -> (Name, DomainSource) {
    let users = profile.dns.cluster_domain.as_ref();
    if let Some(domain) = users.and_then(|domain| domain.as_str().parse().ok()) {
        return (domain, DomainSource::User);
    }
    let domain = match told.map(str::parse) {
        Some(Ok(domain)) => domain,
        // The kubelet gives such a domain to every pod, and none of them can use it.
        Some(Err(_)) => {
            tracing::warn!(told, "the agent's pod searches a domain that is no name");
            default_domain()
        }
        None => {
            tracing::info!("the agent's pod was told no cluster domain; {DEFAULT_DOMAIN} is assumed");
            default_domain()
        }
    };
    (domain, DomainSource::Cluster)
}

fn default_domain() -> Name {
    DEFAULT_DOMAIN.parse().unwrap_or_else(|_| Name::root())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const CLUSTER: ClusterNames<'_> = ClusterNames {
        domain: Some("prod.example"),
        namespace: "shop",
        namespaces: &Namespaces::Unknown,
        reverse: &[],
        api_server: &[],
    };

    #[test]
    fn the_profiles_names_become_rules() {
        let mut profile = Profile::unsaved();
        profile.dns.suffixes = vec!["internal.example".parse().unwrap()];
        profile.also_proxy = ["db.example", "10.3.0.0/16"]
            .map(|extra| extra.parse().unwrap())
            .to_vec();
        let api_server = ["api.example".to_owned(), "10.0.0.1".to_owned()];
        let cluster = ClusterNames {
            api_server: &api_server,
            ..CLUSTER
        };
        let plan = NamePlan::new(&profile, false, &cluster).unwrap();
        let names =
            |texts: &[&str]| -> BTreeSet<Name> { texts.iter().map(|text| text.parse().unwrap()).collect() };
        assert_eq!(plan.scope.suffixes, ["internal.example".parse().unwrap()]);
        assert_eq!(plan.scope.hosts, names(&["db.example"]));
        assert!(plan.scope.api_server.contains(&"api.example".parse().unwrap()));
        assert_eq!(plan.scope.profile, None);
    }

    #[test]
    fn the_users_domain_goes_before_the_clusters() {
        let mut profile = Profile::unsaved();
        let plan = |profile: &Profile, domain| {
            let plan = NamePlan::new(profile, false, &ClusterNames { domain, ..CLUSTER }).unwrap();
            (plan.scope.cluster_domain.to_string(), plan.domain_source)
        };
        let told = |domain: &str| (domain.to_owned(), DomainSource::Cluster);
        assert_eq!(plan(&profile, CLUSTER.domain), told("prod.example"));
        assert_eq!(plan(&profile, None), told("cluster.local"));
        assert_eq!(plan(&profile, Some("a..b")), told("cluster.local"));
        profile.dns.cluster_domain = Some("lab".parse().unwrap());
        let users = ("lab".to_owned(), DomainSource::User);
        assert_eq!(plan(&profile, CLUSTER.domain), users);
    }

    #[test]
    fn a_namespace_that_is_no_label_is_refused() {
        let cluster = ClusterNames {
            namespace: "a.b",
            ..CLUSTER
        };
        let error = NamePlan::new(&Profile::unsaved(), false, &cluster).unwrap_err();
        assert_eq!(error, BadName("a.b".to_owned()));
    }
}
