//! The parts of a profile and what they mean.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use slipway_problem::Fault;

use crate::also_proxy::AlsoProxy;
use crate::id::ProfileId;
use crate::invalid_value::InvalidValue;
use crate::name::ProfileName;
use crate::value::{ContextName, DomainName, Grace, Image, KubeconfigPath, Namespace};

/// What the user saved. Absent values are left to the kubeconfig and to Slipway's own defaults.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct Profile {
    /// Its name, which is also its file's.
    pub name: ProfileName,
    /// What names it also after it was renamed; absent: its name does.
    pub id: Option<ProfileId>,
    /// The color that marks it wherever it is shown.
    pub color: Option<Color>,
    /// Whether mistakes are expensive there: it is shown with a red edge, and some things ask first.
    pub protected: bool,
    /// How programs on the laptop are caught.
    pub method: Method,
    /// What goes through the cluster besides the cluster itself.
    pub also_proxy: Vec<AlsoProxy>,
    /// Which cluster and namespace.
    pub cluster: Cluster,
    /// How the agent is placed.
    pub agent: AgentSettings,
    /// Names besides the cluster's own.
    pub dns: Dns,
}

impl Profile {
    /// The profile of a session that is started without a saved one: everything is left to the command line and the
    /// kubeconfig.
    pub fn unsaved() -> Self {
        Self::new(ProfileName::unsaved())
    }

    /// A profile that takes everything from the kubeconfig's current context, by vpn-tcp.
    pub fn new(name: ProfileName) -> Self {
        Self {
            name,
            id: None,
            color: None,
            protected: false,
            method: Method::default(),
            also_proxy: Vec::new(),
            cluster: Cluster::default(),
            agent: AgentSettings::default(),
            dns: Dns::default(),
        }
    }

    /// What names the profile for as long as it exists.
    pub fn identity(&self) -> ProfileId {
        self.id.unwrap_or_else(|| ProfileId::of_name(&self.name))
    }
}

/// Which cluster and namespace a profile connects to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Cluster {
    /// The kubeconfig file; absent: what kubectl would read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubeconfig: Option<KubeconfigPath>,
    /// The context; absent: the kubeconfig's current one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<ContextName>,
    /// The namespace; absent: the context's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Namespace>,
}

/// How the agent is placed in the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct AgentSettings {
    /// The agent's image; absent: the one of this version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
    /// How long it waits for its client to come back; absent: Slipway's default.
    #[serde(default, rename = "grace-seconds", skip_serializing_if = "Option::is_none")]
    pub grace: Option<Grace>,
}

/// Names that the cluster answers besides its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Dns {
    /// Every name at or below one of these is asked in the cluster.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suffixes: Vec<DomainName>,
    /// The domain of the cluster's own names, for a cluster that has another than `cluster.local` and whose word alone is
    /// doubted; absent: what the cluster says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_domain: Option<DomainName>,
}

/// How programs on the laptop are caught.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// The whole laptop.
    #[default]
    VpnTcp,
    /// One program.
    InjectTcp,
    /// One container.
    Container,
}

impl Method {
    /// Every method, in the order in which they are offered.
    pub const ALL: [Self; 3] = [Self::VpnTcp, Self::InjectTcp, Self::Container];

    /// The word for it in files, options and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::VpnTcp => "vpn-tcp",
            Self::InjectTcp => "inject-tcp",
            Self::Container => "container",
        }
    }

    /// Whether this version can connect by it.
    ///
    /// # Errors
    /// [`MethodNotYet`] if profiles may name the method but nothing carries it out.
    pub fn ready(self) -> Result<(), MethodNotYet> {
        match self {
            Self::VpnTcp => Ok(()),
            Self::InjectTcp | Self::Container => Err(MethodNotYet { method: self }),
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Method {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        Self::ALL
            .into_iter()
            .find(|method| method.as_str() == text)
            .ok_or_else(|| {
                InvalidValue::new(
                    "method",
                    text,
                    "the methods are vpn-tcp, inject-tcp and container",
                )
            })
    }
}

/// A profile asks for a method that this version cannot connect by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the method {method} cannot be connected yet")]
pub struct MethodNotYet {
    /// The method asked for.
    pub method: Method,
}

impl Fault for MethodNotYet {
    fn code(&self) -> &str {
        "method-not-yet"
    }

    fn remedy(&self) -> String {
        "set the method to vpn-tcp".to_owned()
    }
}

/// The color of a profile: eight that stay apart for color-blind eyes (the palette of Okabe and Ito, its
/// black replaced by a gray that is seen on dark as well).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Color {
    Blue,
    Sky,
    Green,
    Yellow,
    Orange,
    Vermilion,
    Purple,
    Gray,
}

impl Color {
    /// Every color, in the order in which they are offered.
    pub const ALL: [Self; 8] = [
        Self::Blue,
        Self::Sky,
        Self::Green,
        Self::Yellow,
        Self::Orange,
        Self::Vermilion,
        Self::Purple,
        Self::Gray,
    ];

    /// Red, green and blue.
    pub fn rgb(self) -> [u8; 3] {
        match self {
            Self::Blue => [0x00, 0x72, 0xb2],
            Self::Sky => [0x56, 0xb4, 0xe9],
            Self::Green => [0x00, 0x9e, 0x73],
            Self::Yellow => [0xf0, 0xe4, 0x42],
            Self::Orange => [0xe6, 0x9f, 0x00],
            Self::Vermilion => [0xd5, 0x5e, 0x00],
            Self::Purple => [0xcc, 0x79, 0xa7],
            Self::Gray => [0x80, 0x80, 0x80],
        }
    }
}
