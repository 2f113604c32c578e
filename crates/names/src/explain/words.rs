//! An explanation in words. Names stand in backticks.

use std::net::IpAddr;

use super::{Cause, Explanation, Finding};
use crate::event::{Answerer, Outcome};
use crate::name::Name;
use crate::scope::Rule;

impl Explanation {
    /// Why the name answers as it does, in one or two sentences.
    #[must_use]
    pub fn why(&self) -> String {
        let why = self.of_the_name();
        match &self.searched {
            Some(searched) => format!(
                "`{}` is asked for as `{}`: the laptop's resolver puts its search domain `{}` behind it. {why}",
                searched.given, self.name, searched.domain
            ),
            None => why,
        }
    }

    /// What would change it, if something would.
    #[must_use]
    pub fn remedy(&self) -> Option<String> {
        let name = &self.name;
        match self.cause {
            Cause::Answered | Cause::Never => None,
            Cause::NoAddress if self.answerer == Answerer::Cluster => Some(
                "A headless service without ready pods looks like this: see `kubectl get endpointslices`."
                    .to_owned(),
            ),
            Cause::NoAddress => None,
            Cause::Nowhere => self.perhaps(),
            Cause::OnlyInCluster => Some(format!(
                "Send it through the cluster: connect with `--also-proxy {name}`, or add it to the profile's."
            )),
            Cause::HiddenByLaptop => self
                .cluster
                .as_ref()
                .map(|finding| &finding.asked)
                .or(self.candidates.first())
                .map(in_full),
            Cause::ClusterSilent => {
                Some("See `slipway status` for whether the session is reconnecting.".to_owned())
            }
            Cause::LaptopSilent => Some(match self.candidates.first() {
                Some(full) => {
                    format!("Check the laptop's own network. To ask only the cluster, ask for `{full}`.")
                }
                None => "Check the laptop's own network; Slipway only passes these names on.".to_owned(),
            }),
            Cause::OtherSession => {
                Some("Connect its profile, or check how the profile is written.".to_owned())
            }
            Cause::Withheld => Some(format!(
                "If it is meant to be reached through the cluster, connect with `--also-proxy {}`, or add that to the profile.",
                self.cluster.as_ref().map_or(name, |finding| &finding.asked)
            )),
        }
    }

    fn of_the_name(&self) -> String {
        let name = &self.name;
        match self.cause {
            Cause::Answered => self.answered(),
            Cause::NoAddress if self.answerer == Answerer::Cluster => {
                format!("`{name}` exists in the cluster but has no address.")
            }
            Cause::NoAddress => format!("The laptop's name servers know `{name}`, but it has no address."),
            Cause::Nowhere => self.nowhere(),
            Cause::OnlyInCluster => format!(
                "`{name}` is known to the cluster's DNS but not to the laptop's name servers, whose name it is."
            ),
            Cause::HiddenByLaptop => format!(
                "The laptop's name servers know `{name}`{}, so it keeps that meaning.",
                in_brackets(self.laptop.as_ref()),
            ),
            Cause::ClusterSilent => format!(
                "The cluster's DNS {}, so nobody can say whether `{name}` exists.",
                silence(self.cluster.as_ref())
            ),
            Cause::LaptopSilent => format!(
                "The laptop's name servers {}, and `{name}` is theirs to answer.",
                silence(self.laptop.as_ref())
            ),
            Cause::OtherSession => format!("`{name}` names another session."),
            Cause::Withheld => format!(
                "The cluster has `{name}`{}, but programs do not get that address: {}.",
                in_brackets(self.cluster.as_ref()),
                self.withheld.as_deref().unwrap_or("it is not routed"),
            ),
            Cause::Never if self.rule == Rule::SpecialUse => {
                format!("`{name}` ends in `invalid`, which is kept for names that never exist.")
            }
            Cause::Never => format!("`{name}` cannot be a name in the cluster: it is too long."),
        }
    }

    fn answered(&self) -> String {
        let name = &self.name;
        match self.answerer {
            Answerer::Us => format!("`{name}` is Slipway's own name."),
            Answerer::Cluster | Answerer::Cache | Answerer::Neighbour => match &self.cluster {
                Some(finding) if finding.asked != *name => {
                    format!("`{name}` is `{}` in the cluster.", finding.asked)
                }
                Some(_) | None => format!("`{name}` is a name of the cluster."),
            },
            Answerer::Laptop | Answerer::Nobody => {
                format!("`{name}` is a name of the laptop's name servers.")
            }
        }
    }

    fn nowhere(&self) -> String {
        let (name, namespace) = (&self.name, &self.namespace);
        match &self.rule {
            Rule::Short => format!(
                "`{name}` was not found in namespace `{namespace}`, nor by the laptop's name servers."
            ),
            Rule::Profile => format!("`{name}` was not found in namespace `{namespace}`."),
            Rule::InNamespace { namespace } => {
                format!(
                    "`{name}` was not found in namespace `{namespace}`, nor by the laptop's name servers."
                )
            }
            Rule::ClusterDomain => format!("`{name}` does not exist in the cluster, whose name it is."),
            Rule::User if self.laptop_has_it() => format!(
                "This session sends `{name}` to the cluster, whose DNS does not know it. The laptop's name servers do."
            ),
            Rule::User => format!("This session sends `{name}` to the cluster, whose DNS does not know it."),
            Rule::Reverse => match name.reverse_address() {
                Some(address) => format!("{address} has no name in the cluster."),
                None => format!("`{name}` has no name in the cluster."),
            },
            Rule::LaptopSearch { suffix } => format!(
                "`{name}` does not exist; without the search domain `{suffix}`, it was not found in the cluster either."
            ),
            Rule::Reserved => format!(
                "The laptop's name servers do not know `{name}`, and the cluster is not asked: a name that finds \
                 proxies, or that the laptop uses itself, is never the cluster's."
            ),
            Rule::DoubtfulDomain => format!(
                "The laptop's name servers do not know `{name}`, and the cluster is not asked: the domain that it \
                 calls its own may be somebody else's."
            ),
            Rule::Own
            | Rule::OtherProfile
            | Rule::Perhaps
            | Rule::SpecialUse
            | Rule::NotAHost
            | Rule::Public => {
                format!("Neither the laptop's name servers nor the cluster's DNS know `{name}`.")
            }
        }
    }

    fn laptop_has_it(&self) -> bool {
        self.laptop
            .as_ref()
            .is_some_and(|finding| finding.outcome.exists())
    }

    /// What was perhaps meant by a name that is nowhere, or where to look for it.
    fn perhaps(&self) -> Option<String> {
        let name = &self.name;
        if let Some(near) = &self.near {
            return Some(format!("Perhaps `{near}` was meant."));
        }
        match &self.rule {
            Rule::User if self.laptop_has_it() => {
                Some("Take it off `--also-proxy`, or off the profile's.".to_owned())
            }
            Rule::Reverse => None,
            Rule::Short | Rule::Profile | Rule::LaptopSearch { .. } => Some(
                "`slipway list services` shows what is there; a name in another namespace is written \
                 `NAME.NAMESPACE`."
                    .to_owned(),
            ),
            Rule::InNamespace { namespace } => Some(format!(
                "`slipway list services --namespace {namespace}` shows what is there."
            )),
            Rule::Reserved => name.labels().next().map(|first| {
                let service = String::from_utf8_lossy(first);
                format!("To ask only the cluster, ask for `{service}.{}.svc`.", self.namespace)
            }),
            Rule::DoubtfulDomain => Some(
                "If the domain is the cluster's, say so: connect with `--cluster-domain`, or set `cluster-domain` in \
                 the profile's `[dns]`."
                    .to_owned(),
            ),
            Rule::ClusterDomain => Some(
                "Check service and namespace, in this order: `slipway list namespaces`, `slipway list services`."
                    .to_owned(),
            ),
            Rule::User
            | Rule::Own
            | Rule::OtherProfile
            | Rule::Perhaps
            | Rule::SpecialUse
            | Rule::NotAHost
            | Rule::Public => Some("Check how it is written.".to_owned()),
        }
    }
}

/// How to write a name so that only the cluster is asked.
fn in_full(full: &Name) -> String {
    format!("To reach the one in the cluster, ask for `{full}`.")
}

fn in_brackets(finding: Option<&Finding>) -> String {
    let addresses: &[IpAddr] = finding.map_or(&[], |finding| &finding.addresses);
    if addresses.is_empty() {
        return String::new();
    }
    let list: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
    format!(" ({})", list.join(", "))
}

fn silence(finding: Option<&Finding>) -> &'static str {
    match finding.map(|finding| finding.outcome) {
        Some(Outcome::TimedOut) => "did not answer in time",
        None => "are out of reach",
        Some(
            Outcome::Found | Outcome::NoData | Outcome::NxDomain | Outcome::ServFail | Outcome::Withheld,
        ) => "could not answer",
    }
}
