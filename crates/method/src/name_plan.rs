//! Name plan: rules of the resolver, from the profile and known facts of the cluster.

use ipnet::IpNet;
use slipway_names::{Name, Namespaces, Scope};
use slipway_profile::Profile;

use crate::additions::{Additions, BadName, label};
use crate::cluster_domain::{DomainSource, Trust, judge};

/// Cluster domain unless the cluster's administrator chose another one.
const DEFAULT_DOMAIN: &str = "cluster.local";

/// Known facts about the cluster's names.
#[derive(Clone, Copy, Debug)]
pub struct ClusterNames<'a> {
    /// The cluster domain, from the agent's pod.
    pub domain: Option<&'a str>,
    /// The session's namespace.
    pub namespace: &'a str,
    /// All namespaces.
    pub namespaces: &'a Namespaces,
    /// Networks for which the cluster answers reverse lookups.
    pub reverse: &'a [IpNet],
    /// Hosts that the session needs itself: the API server's, that of a proxy in front of it, and those of the login.
    pub needed: &'a [String],
}

/// Rules about names with which a method starts. The method adds those that depend on the laptop.
#[derive(Clone, Debug)]
pub struct NamePlan {
    /// The rules, without the laptop's own names and search domains.
    pub scope: Scope,
    /// Source of the cluster domain in `scope`.
    pub domain_source: DomainSource,
}

impl NamePlan {
    /// Makes the plan of a profile and what the user sends to the cluster. If the profile is `saved`, its name becomes a
    /// rule as well.
    ///
    /// # Errors
    /// [`BadName`] if a name is not a DNS name.
    pub fn new(
        profile: &Profile,
        saved: bool,
        additions: &Additions,
        cluster: &ClusterNames<'_>,
    ) -> Result<Self, BadName> {
        let (domain, domain_source) = cluster_domain(profile, cluster.domain);
        let mut scope = Scope::new(domain, label(cluster.namespace)?);
        scope.namespaces = cluster.namespaces.clone();
        scope.reverse = cluster.reverse.to_vec();
        scope.profile = saved.then(|| label(profile.name.as_str())).transpose()?;
        additions.onto(&mut scope);
        // Leaves out addresses, which need no rule.
        let needed = cluster.needed.iter();
        scope.needed = needed.filter_map(|host| host.parse().ok()).collect();
        Ok(Self { scope, domain_source })
    }

    /// Judges whether the cluster domain belongs to the cluster. `searched` are the laptop's search domains.
    #[must_use]
    pub fn trust(&self, searched: &[Name]) -> Trust {
        judge(
            &self.scope.cluster_domain,
            self.domain_source,
            searched,
            &self.scope.needed,
        )
    }
}

/// Returns the cluster domain and its source. `declared` is the domain of the agent's pod.
fn cluster_domain(profile: &Profile, declared: Option<&str>) -> (Name, DomainSource) {
    let users = profile.dns.cluster_domain.as_ref();
    if let Some(domain) = users.and_then(|domain| domain.as_str().parse().ok()) {
        return (domain, DomainSource::User);
    }
    let domain = match declared.map(str::parse) {
        Some(Ok(domain)) => domain,
        // The kubelet gives the invalid domain to every pod, and no pod can use it.
        Some(Err(_)) => {
            tracing::warn!(declared, "cluster domain of the agent's pod is not a DNS name");
            default_domain()
        }
        None => {
            tracing::info!(assumed = DEFAULT_DOMAIN, "agent's pod has no cluster domain");
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

    use slipway_profile::Extras;

    use super::*;

    const CLUSTER: ClusterNames<'_> = ClusterNames {
        domain: Some("prod.example"),
        namespace: "shop",
        namespaces: &Namespaces::Unknown,
        reverse: &[],
        needed: &[],
    };

    #[test]
    fn the_profiles_names_become_rules() {
        let mut profile = Profile::unsaved();
        profile.dns.suffixes = vec!["internal.example".parse().unwrap()];
        profile.also_proxy = ["db.example", "10.3.0.0/16"]
            .map(|extra| extra.parse().unwrap())
            .to_vec();
        let needed = ["api.example".to_owned(), "10.0.0.1".to_owned()];
        let cluster = ClusterNames {
            needed: &needed,
            ..CLUSTER
        };
        let additions = Additions::new(&Extras::of(&profile)).unwrap();
        let plan = NamePlan::new(&profile, false, &additions, &cluster).unwrap();
        assert_eq!(additions.networks, ["10.3.0.0/16".parse().unwrap()]);
        let names =
            |texts: &[&str]| -> BTreeSet<Name> { texts.iter().map(|text| text.parse().unwrap()).collect() };
        assert_eq!(plan.scope.suffixes, ["internal.example".parse().unwrap()]);
        assert_eq!(plan.scope.hosts, names(&["db.example"]));
        assert!(plan.scope.needed.contains(&"api.example".parse().unwrap()));
        assert_eq!(plan.scope.profile, None);
    }

    #[test]
    fn the_users_domain_replaces_the_clusters() {
        let mut profile = Profile::unsaved();
        let plan = |profile: &Profile, domain| {
            let cluster = ClusterNames { domain, ..CLUSTER };
            let plan = NamePlan::new(profile, false, &Additions::default(), &cluster).unwrap();
            (plan.scope.cluster_domain.to_string(), plan.domain_source)
        };
        let declared = |domain: &str| (domain.to_owned(), DomainSource::Cluster);
        assert_eq!(plan(&profile, CLUSTER.domain), declared("prod.example"));
        assert_eq!(plan(&profile, None), declared("cluster.local"));
        assert_eq!(plan(&profile, Some("a..b")), declared("cluster.local"));
        profile.dns.cluster_domain = Some("lab".parse().unwrap());
        let users = ("lab".to_owned(), DomainSource::User);
        assert_eq!(plan(&profile, CLUSTER.domain), users);
    }

    #[test]
    fn a_namespace_that_is_not_a_label_is_refused() {
        let cluster = ClusterNames {
            namespace: "a.b",
            ..CLUSTER
        };
        let error = NamePlan::new(&Profile::unsaved(), false, &Additions::default(), &cluster).unwrap_err();
        assert_eq!(error, BadName("a.b".to_owned()));
    }
}
