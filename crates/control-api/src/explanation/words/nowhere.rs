//! Texts about a name that neither side has.

use crate::explanation::{NameFacts, NameRule};

/// Says that the laptop's side is not known, in a clause.
const UNASKED: &str = "the laptop has no name server that could be asked";

/// The same, as the end of a sentence.
const UNASKED_TOO: &str = "and the laptop has no name server that could be asked";

impl NameFacts {
    pub(super) fn nowhere(&self) -> String {
        let (name, namespace) = (&self.asked, &self.namespace);
        match &self.rule {
            NameRule::Short => format!(
                "`{name}` was not found in namespace `{namespace}`, {}.",
                self.nor_on_laptop()
            ),
            NameRule::Profile => format!("`{name}` was not found in namespace `{namespace}`."),
            NameRule::InNamespace { namespace } => {
                format!(
                    "`{name}` was not found in namespace `{namespace}`, {}.",
                    self.nor_on_laptop()
                )
            }
            NameRule::ClusterDomain => format!(
                "`{name}` does not exist in the cluster, and no other DNS server has names of this domain."
            ),
            NameRule::User if self.laptop_has_it() => format!(
                "This session sends `{name}` to the cluster, and the cluster's DNS does not know it. The laptop's name servers do."
            ),
            NameRule::User => {
                format!("This session sends `{name}` to the cluster, and the cluster's DNS does not know it.")
            }
            NameRule::Reverse {
                address: Some(address),
            } => format!("{address} has no name in the cluster."),
            NameRule::Reverse { address: None } => format!("`{name}` has no name in the cluster."),
            NameRule::LaptopSearch { suffix } => format!(
                "`{name}` does not exist; without the search domain `{suffix}`, it was not found in the cluster either."
            ),
            NameRule::Reserved if self.laptop.is_none() => format!(
                "The cluster is not asked for `{name}`: names by which programs find proxies, and names that the laptop uses \
                 itself, never belong to the cluster."
            ),
            NameRule::DoubtfulDomain if self.laptop.is_none() => format!(
                "The cluster is not asked for `{name}`, because the domain that it declares may belong to others, and {UNASKED}."
            ),
            NameRule::Reserved => format!(
                "The laptop's name servers do not know `{name}`, and the cluster is not asked: names by which programs find \
                 proxies, and names that the laptop uses itself, never belong to the cluster."
            ),
            NameRule::DoubtfulDomain => format!(
                "The laptop's name servers do not know `{name}`, and the cluster is not asked: the domain that the \
                 cluster declares may belong to others."
            ),
            NameRule::Own
            | NameRule::OtherProfile
            | NameRule::Perhaps
            | NameRule::SpecialUse
            | NameRule::NotAHost
            | NameRule::Public => match (&self.cluster, &self.laptop) {
                (Some(_), Some(_)) => {
                    format!("Neither the laptop's name servers nor the cluster's DNS know `{name}`.")
                }
                (Some(_), None) => format!("The cluster's DNS does not know `{name}`, and {UNASKED}."),
                (None, Some(_)) => format!("The laptop's name servers do not know `{name}`."),
                (None, None) => format!("No name server could be asked for `{name}`."),
            },
        }
    }

    /// What the laptop's side has to do with a name that was not found, as the end of a sentence.
    fn nor_on_laptop(&self) -> &'static str {
        match &self.laptop {
            Some(_) => "nor by the laptop's name servers",
            None => UNASKED_TOO,
        }
    }

    /// The remedy for a name that does not exist: a similar name, or where to look.
    pub(super) fn perhaps(&self) -> Option<String> {
        if let Some(near) = &self.near {
            return Some(format!("Did you mean `{near}`?"));
        }
        match &self.rule {
            NameRule::User if self.laptop_has_it() => {
                Some("Remove it from `--also-proxy` or from the profile.".to_owned())
            }
            NameRule::Reverse { .. } => None,
            NameRule::Short | NameRule::Profile | NameRule::LaptopSearch { .. } => Some(
                "`slipway list services` shows the services; write a name in another namespace as \
                 `NAME.NAMESPACE`."
                    .to_owned(),
            ),
            NameRule::InNamespace { namespace } => Some(format!(
                "`slipway list services --namespace {namespace}` shows the services there."
            )),
            NameRule::Reserved => self.asked.split('.').next().map(|service| {
                format!("To ask only the cluster, ask for `{service}.{}.svc`.", self.namespace)
            }),
            NameRule::DoubtfulDomain => Some(
                "If the domain belongs to the cluster, connect with `--cluster-domain DOMAIN`, or set `cluster-domain` \
                 in the profile's `[dns]`."
                    .to_owned(),
            ),
            NameRule::ClusterDomain => Some(
                "Check the namespace with `slipway list namespaces`, then the service with `slipway list services`."
                    .to_owned(),
            ),
            NameRule::User
            | NameRule::Own
            | NameRule::OtherProfile
            | NameRule::Perhaps
            | NameRule::SpecialUse
            | NameRule::NotAHost
            | NameRule::Public => Some("Check the spelling.".to_owned()),
        }
    }
}
