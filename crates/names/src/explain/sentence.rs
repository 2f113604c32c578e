//! An explanation in words: cause first, then what to do. Names stand in backticks, namespaces and profiles in asterisks.

use std::net::IpAddr;

use super::{Cause, Explanation, Finding};
use crate::event::{Answerer, Outcome};
use crate::name::Name;
use crate::scope::Rule;

impl Explanation {
    /// The explanation in one or two sentences.
    #[must_use]
    pub fn sentence(&self) -> String {
        let name = &self.name;
        match self.cause {
            Cause::Answered => self.answered(),
            Cause::NoAddress if self.answerer == Answerer::Cluster => format!(
                "`{name}` exists in the cluster but has no address. A headless service without ready pods looks like this."
            ),
            Cause::NoAddress => format!("Your laptop's name servers know `{name}`, but it has no address."),
            Cause::Nowhere => [self.nowhere(), self.perhaps()].concat(),
            Cause::OnlyInCluster => format!(
                "`{name}` is known to the cluster's DNS but not to your laptop's. Add it to the extra hosts to send it \
                 through the cluster."
            ),
            Cause::HiddenByLaptop => format!(
                "Your laptop's name servers know `{name}`{}, so it keeps that meaning.{}",
                in_brackets(self.laptop.as_ref()),
                self.in_full("To reach the one in the cluster, ask for")
            ),
            Cause::ClusterSilent => format!(
                "The cluster's DNS {}, so nobody can say whether `{name}` exists. Try again once the session is connected.",
                silence(self.cluster.as_ref())
            ),
            Cause::LaptopSilent => format!(
                "Your laptop's name servers {}, and `{name}` is theirs to answer. Check the laptop's own network.",
                silence(self.laptop.as_ref())
            ),
            Cause::OtherSession => {
                format!(
                    "`{name}` names another session. Connect its profile, or check how the profile is written."
                )
            }
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
                    format!(
                        "`{name}` is `{}` in the cluster{}.",
                        finding.asked,
                        in_brackets(Some(finding))
                    )
                }
                finding => format!(
                    "`{name}` is answered by the cluster{}.",
                    in_brackets(finding.as_ref())
                ),
            },
            Answerer::Laptop | Answerer::Nobody => {
                format!(
                    "`{name}` is answered by your laptop's name servers{}.",
                    in_brackets(self.laptop.as_ref())
                )
            }
        }
    }

    fn nowhere(&self) -> String {
        let (name, namespace) = (&self.name, &self.namespace);
        match &self.rule {
            Rule::Short | Rule::Profile => format!("`{name}` was not found in namespace *{namespace}*."),
            Rule::InNamespace { namespace } => {
                format!(
                    "`{name}` was not found in namespace *{namespace}*, nor by your laptop's name servers."
                )
            }
            Rule::ClusterDomain => format!("`{name}` does not exist in the cluster."),
            Rule::User
                if self
                    .laptop
                    .as_ref()
                    .is_some_and(|finding| finding.outcome.exists()) =>
            {
                format!(
                    "This profile sends `{name}` to the cluster, whose DNS does not know it. Your laptop's name servers do: \
                 take it off the extra hosts."
                )
            }
            Rule::User => format!("This profile sends `{name}` to the cluster, whose DNS does not know it."),
            Rule::Reverse => match name.reverse_address() {
                Some(address) => format!("{address} has no name in the cluster."),
                None => format!("`{name}` has no name in the cluster."),
            },
            Rule::LaptopSearch { suffix } => format!(
                "`{name}` does not exist; without the search domain `{suffix}`, it was not found in the cluster either."
            ),
            Rule::Own
            | Rule::OtherProfile
            | Rule::Perhaps
            | Rule::SpecialUse
            | Rule::NotAHost
            | Rule::Public => {
                format!("Neither your laptop's name servers nor the cluster's DNS know `{name}`.")
            }
        }
    }

    /// What was perhaps meant, as a sentence with a space before it.
    fn perhaps(&self) -> String {
        let Some(near) = self.near.first() else {
            return String::new();
        };
        let mut labels = near.labels();
        let (service, namespace) = (labels.next(), labels.next());
        let (Some(service), Some(namespace)) = (service, namespace) else {
            return format!(" Did you mean `{near}`?");
        };
        let namespace = String::from_utf8_lossy(namespace);
        if self.name.labels().next() == Some(service) && namespace != self.namespace.to_string() {
            return format!(" There is a service of that name in *{namespace}*.");
        }
        format!(" Did you mean `{near}`?")
    }

    /// How to write the name so that only the cluster is asked, with a space before it.
    fn in_full(&self, intro: &str) -> String {
        let full: Option<&Name> = self
            .cluster
            .as_ref()
            .map(|finding| &finding.asked)
            .or(self.candidates.first());
        full.map(|full| format!(" {intro} `{full}`.")).unwrap_or_default()
    }
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
        Some(Outcome::Found | Outcome::NoData | Outcome::NxDomain | Outcome::ServFail) => "could not answer",
    }
}
