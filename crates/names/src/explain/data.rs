//! Explanations as plain data, for control sockets, scripts and windows.

use slipway_control_api::{self as api, Found, NameFacts, NameRule, Said};

use super::{Explanation, Finding};
use crate::event::Answerer;
use crate::name::Name;
use crate::scope::Rule;

impl Explanation {
    /// Converts the explanation to data. `typed` is the name as the user wrote it.
    #[must_use]
    pub fn data(&self, typed: &str) -> api::Explanation {
        let answering = match self.answerer {
            Answerer::Cluster | Answerer::Cache => self.cluster.as_ref(),
            Answerer::Laptop => self.laptop.as_ref(),
            Answerer::Neighbor | Answerer::Us | Answerer::Nobody => None,
        };
        let text = |name: &Name| name.to_string();
        api::Explanation {
            name: typed.to_owned(),
            answered_by: self.answerer.data(),
            answer: answering.map_or_else(Vec::new, |finding| finding.addresses.clone()),
            programs: None,
            port: None,
            backing: None,
            found: Found::Name(Box::new(NameFacts {
                asked: text(&self.name),
                search_domain: self.searched.as_ref().map(|searched| text(&searched.domain)),
                namespace: self.namespace.to_string(),
                rule: rule(&self.rule, &self.name),
                candidates: self.candidates.iter().map(text).collect(),
                cluster: self.cluster.as_ref().map(said),
                laptop: self.laptop.as_ref().map(said),
                verdict: self.verdict,
                near: self.near.as_ref().map(text),
                withheld: self.withheld.clone(),
                refused: None,
            })),
        }
    }
}

impl Answerer {
    /// Returns the side that answered, as users see it: the cache, other sessions and this resolver count as the
    /// cluster.
    #[must_use]
    pub const fn data(self) -> api::Answerer {
        match self {
            Self::Cluster | Self::Cache | Self::Neighbor | Self::Us => api::Answerer::Cluster,
            Self::Laptop => api::Answerer::Laptop,
            Self::Nobody => api::Answerer::Nobody,
        }
    }
}

fn said(finding: &Finding) -> Said {
    Said {
        outcome: finding.outcome,
        asked: finding.asked.to_string(),
        addresses: finding.addresses.clone(),
        took_ms: u32::try_from(finding.took.as_millis()).unwrap_or(u32::MAX),
    }
}

fn rule(rule: &Rule, name: &Name) -> NameRule {
    match rule {
        Rule::Own => NameRule::Own,
        Rule::Profile => NameRule::Profile,
        Rule::OtherProfile => NameRule::OtherProfile,
        Rule::ClusterDomain => NameRule::ClusterDomain,
        Rule::User => NameRule::User,
        Rule::Reverse => NameRule::Reverse {
            address: name.reverse_address(),
        },
        Rule::Short => NameRule::Short,
        Rule::InNamespace { namespace } => NameRule::InNamespace {
            namespace: namespace.to_string(),
        },
        Rule::Perhaps => NameRule::Perhaps,
        Rule::LaptopSearch { suffix } => NameRule::LaptopSearch {
            suffix: suffix.to_string(),
        },
        Rule::Reserved => NameRule::Reserved,
        Rule::DoubtfulDomain => NameRule::DoubtfulDomain,
        Rule::SpecialUse => NameRule::SpecialUse,
        Rule::NotAHost => NameRule::NotAHost,
        Rule::Public => NameRule::Public,
    }
}
