//! Settings of a profile.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use slipway_problem::Fault;

use crate::agent_settings::AgentSettings;
use crate::also_proxy::AlsoProxy;
use crate::cluster::Cluster;
use crate::disconnect_after::DisconnectAfter;
use crate::id::ProfileId;
use crate::invalid_value::InvalidValue;
use crate::name::ProfileName;
use crate::value::DomainName;

/// A profile. For absent values, the kubeconfig and Slipway's defaults apply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct Profile {
    /// Its name, which is also the name of its file.
    pub name: ProfileName,
    /// Its identity, which a new name does not change; if absent, it is derived from the name.
    pub id: Option<ProfileId>,
    /// The color that marks it in lists and menus.
    pub color: Option<Color>,
    /// Whether mistakes are expensive there: it is shown with a red edge, and some actions ask first.
    pub protected: bool,
    /// How long after its first connection a session ends by itself; if absent, it does not.
    pub disconnect_after: Option<DisconnectAfter>,
    /// How programs on the laptop are captured.
    pub method: Method,
    /// Extra destinations that are reached through the cluster.
    pub also_proxy: Vec<AlsoProxy>,
    /// Which cluster and namespace.
    pub cluster: Cluster,
    /// How the agent is placed.
    pub agent: AgentSettings,
    /// Names that the cluster answers in addition to its own.
    pub dns: Dns,
}

impl Profile {
    /// The profile of a session without a saved one. The command line and the kubeconfig decide everything.
    pub fn unsaved() -> Self {
        Self::new(ProfileName::unsaved())
    }

    /// A profile with the kubeconfig's current context and the method vpn-tcp.
    pub fn new(name: ProfileName) -> Self {
        Self {
            name,
            id: None,
            color: None,
            protected: false,
            disconnect_after: None,
            method: Method::default(),
            also_proxy: Vec::new(),
            cluster: Cluster::default(),
            agent: AgentSettings::default(),
            dns: Dns::default(),
        }
    }

    /// Returns the profile's identity, derived from its name if the file has none.
    pub fn identity(&self) -> ProfileId {
        self.id.unwrap_or_else(|| ProfileId::of_name(&self.name))
    }
}

/// Names that the cluster answers in addition to its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Dns {
    /// Domains whose names, and all names below them, the cluster answers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub suffixes: Vec<DomainName>,
    /// The domain of the cluster's own names. Needed if it is not `cluster.local` and Slipway doubts the domain that the
    /// cluster reports; if absent, the reported one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_domain: Option<DomainName>,
}

/// How programs on the laptop are captured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Captures the whole laptop.
    #[default]
    VpnTcp,
    /// Captures one program.
    InjectTcp,
    /// Captures one container.
    Container,
}

impl Method {
    /// Every method, in the order in which they are offered.
    pub const ALL: [Self; 3] = [Self::VpnTcp, Self::InjectTcp, Self::Container];

    /// Returns its name in files, options and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::VpnTcp => "vpn-tcp",
            Self::InjectTcp => "inject-tcp",
            Self::Container => "container",
        }
    }

    /// Checks whether this version can connect with the method.
    ///
    /// # Errors
    /// [`MethodNotYet`] if profiles may name the method, but it is not implemented yet.
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

/// A profile has a method that this version does not support yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this version of Slipway does not support the method {method} yet")]
pub struct MethodNotYet {
    /// The unsupported method.
    pub method: Method,
}

impl Fault for MethodNotYet {
    fn code(&self) -> &str {
        "method-not-yet"
    }

    fn remedy(&self) -> String {
        "use the method vpn-tcp".to_owned()
    }
}

/// Color of a profile. Color-blind users can distinguish all eight (the palette of Okabe and Ito, with gray instead of
/// black, so that it is also visible on dark).
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
