//! Additions: what the user sends to the cluster, as rules about names and as networks.

use std::collections::BTreeSet;

use ipnet::IpNet;
use slipway_names::{Label, Name, Scope};
use slipway_problem::Fault;
use slipway_profile::{AlsoProxy, Extras};

/// What the user sends to the cluster in addition to its own names and networks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Additions {
    /// Single hosts.
    pub hosts: BTreeSet<Name>,
    /// Suffixes, with all names below them.
    pub suffixes: Vec<Name>,
    /// Namespaces in which names without dots are looked up, after the session's.
    pub namespaces: Vec<Label>,
    /// Networks.
    pub networks: Vec<IpNet>,
}

/// Error of a name in the profile or the kubeconfig that is not a DNS name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a valid DNS name")]
pub struct BadName(pub String);

impl Fault for BadName {
    fn code(&self) -> &str {
        "bad-name"
    }

    fn remedy(&self) -> String {
        "Correct the name in the profile or on the command line.".to_owned()
    }
}

impl Additions {
    /// Returns the additions of a user's extras.
    ///
    /// # Errors
    /// [`BadName`] if a name is not a DNS name.
    pub fn new(extras: &Extras) -> Result<Self, BadName> {
        let suffixes = extras.suffixes.iter();
        let namespaces = extras.also_namespaces.iter();
        let mut additions = Self {
            suffixes: suffixes
                .map(|suffix| name(suffix.as_str()))
                .collect::<Result<_, _>>()?,
            namespaces: namespaces
                .map(|namespace| label(namespace.as_str()))
                .collect::<Result<_, _>>()?,
            ..Self::default()
        };
        for extra in &extras.also_proxy {
            match extra {
                AlsoProxy::Host(host) => {
                    additions.hosts.insert(name(host.as_str())?);
                }
                AlsoProxy::Ip(address) => additions.networks.push((*address).into()),
                AlsoProxy::Cidr(range) => additions.networks.push(*range),
            }
        }
        Ok(additions)
    }

    /// Writes the names into rules, in place of those that were there.
    pub fn onto(&self, scope: &mut Scope) {
        scope.hosts.clone_from(&self.hosts);
        scope.suffixes.clone_from(&self.suffixes);
        scope.also_namespaces.clone_from(&self.namespaces);
    }
}

fn name(text: &str) -> Result<Name, BadName> {
    text.parse().map_err(|_| BadName(text.to_owned()))
}

pub(crate) fn label(text: &str) -> Result<Label, BadName> {
    text.parse().map_err(|_| BadName(text.to_owned()))
}
