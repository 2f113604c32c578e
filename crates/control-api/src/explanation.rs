//! Explanation of a name or an address: who answers for it and why, as data. [`words`] puts it into sentences.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use slipway_problem::Action;

use crate::backing::{Backing, BackingVerdict};
use crate::name::Answerer;
use crate::session_id::SessionId;

mod words;

/// Explanation of a name or an address: who answers for it, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Explanation {
    /// The name or the address, as asked.
    pub name: String,
    /// Who answers for it.
    pub answered_by: Answerer,
    /// The addresses that it resolves to; empty if there are none.
    #[serde(default)]
    pub answer: Vec<IpAddr>,
    /// The addresses that programs get from getaddrinfo; empty if they get an error, `null` if that is not known.
    #[serde(default)]
    pub programs: Option<Vec<IpAddr>>,
    /// The port that was asked about; `null` if none was.
    #[serde(default)]
    pub port: Option<u16>,
    /// What stands behind the name in the cluster; `null` if the cluster was not asked for it.
    #[serde(default)]
    pub backing: Option<Box<Backing>>,
    /// The facts.
    pub found: Found,
}

/// Facts about a name or an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "about", rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Found {
    /// A name, for which both sides were asked.
    Name(Box<NameFacts>),
    /// An address, for which the kernel was asked.
    Address(AddressFacts),
    /// The text is not a valid DNS name.
    NotAName,
    /// The session is not connected, so only the laptop's own names are answered.
    NotConnected,
}

/// Facts about a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NameFacts {
    /// The name that was asked for; with a search domain if programs get that.
    pub asked: String,
    /// The search domain of the laptop that was appended.
    pub search_domain: Option<String>,
    /// The session's namespace.
    pub namespace: String,
    /// The rule that decides whose name it is.
    pub rule: NameRule,
    /// The full names that stand for it in the cluster, in order.
    pub candidates: Vec<String>,
    /// The cluster's present answer; `null` if it was not asked, because the name cannot be the cluster's.
    pub cluster: Option<Said>,
    /// The present answer of the laptop's own name servers.
    pub laptop: Option<Said>,
    /// The result.
    pub verdict: NameVerdict,
    /// A service of that name in another namespace, for a name that does not exist.
    pub near: Option<String>,
    /// Why programs do not get its addresses, in a sentence without a full stop.
    pub withheld: Option<String>,
    /// Why `--also-proxy` cannot send its addresses through the cluster, in a clause; `null` if it can.
    #[serde(default)]
    pub refused: Option<String>,
}

/// Answer of one side for a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Said {
    /// The kind of answer.
    pub outcome: NameOutcome,
    /// The name under which it was found or last asked.
    pub asked: String,
    /// The addresses it gave, IPv4 first.
    pub addresses: Vec<IpAddr>,
    /// How long it took, in milliseconds.
    pub took_ms: u32,
}

/// Kind of a name server's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum NameOutcome {
    /// There are records of the type that was asked.
    Found,
    /// The name exists, without a record of that type.
    NoData,
    /// The name does not exist.
    NotFound,
    /// The server failed or refused, or could not be reached.
    Failed,
    /// No answer came in time.
    TimedOut,
    /// The cluster has the name, at addresses that programs do not get.
    Withheld,
}

impl NameOutcome {
    /// Whether the name exists.
    pub const fn exists(self) -> bool {
        matches!(self, Self::Found | Self::NoData)
    }
}

/// Rule that decides whose name it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum NameRule {
    /// One of Slipway's own names below `slipway.internal`.
    Own,
    /// `NAME.PROFILE.slipway.internal` of this session.
    Profile,
    /// `NAME.PROFILE.slipway.internal` of another session.
    OtherProfile,
    /// Below the cluster's domain, or written up to `svc` or `pod`.
    ClusterDomain,
    /// The user sends it to the cluster, by name or by suffix.
    User,
    /// The reverse name of an address in the cluster.
    Reverse {
        /// The address.
        address: Option<IpAddr>,
    },
    /// No dots: a service of the session's namespace.
    Short,
    /// Its last part is a namespace.
    InNamespace {
        /// That namespace.
        namespace: String,
    },
    /// It could be a pod of a headless service, or its last part a namespace that cannot be listed.
    Perhaps,
    /// A short name, to which the laptop's resolver appended one of its search domains.
    LaptopSearch {
        /// That domain.
        suffix: String,
    },
    /// A name that the laptop uses itself, or by which programs find a proxy.
    Reserved,
    /// Below a domain that the cluster declares, but that may belong to others.
    DoubtfulDomain,
    /// A name that never exists (RFC 6761).
    SpecialUse,
    /// Not a question for a host: a zone transfer, or another class.
    NotAHost,
    /// Everything else.
    Public,
}

/// Result of an explanation of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum NameVerdict {
    /// The name is answered.
    Answered,
    /// The name exists on the side that decides, without an address.
    NoAddress,
    /// Neither side has it.
    Nowhere,
    /// Only the cluster has it, but the rules give the name to the laptop.
    OnlyInCluster,
    /// Both sides have it, and the laptop's answer is used.
    HiddenByLaptop,
    /// The cluster did not answer.
    ClusterSilent,
    /// The laptop's own name servers did not answer.
    LaptopSilent,
    /// It belongs to another session.
    OtherSession,
    /// It is a name that never exists.
    Never,
    /// The cluster has it, at addresses that programs do not get.
    Withheld,
}

/// Facts about an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AddressFacts {
    /// Whether it is an address of the laptop itself.
    pub local: bool,
    /// The kernel's route to it; `null` if there is none, and for an address of the laptop itself.
    pub route: Option<AddressRoute>,
    /// Why `--also-proxy` cannot send it through the cluster, in a clause; `null` if it can.
    #[serde(default)]
    pub refused: Option<String>,
}

/// A route of the laptop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AddressRoute {
    /// The destination network.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub net: IpNet,
    /// The network device.
    pub device: String,
    /// The rule by which the kernel looked in the route's table, as `ip rule` shows it; `null` for the table `main`.
    #[serde(default)]
    pub rule: Option<String>,
}

/// An explanation with its session and its texts. The form of `slipway explain --json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Explained {
    /// The session whose answer is used.
    pub session: SessionId,
    /// Its explanation.
    #[serde(flatten)]
    pub explanation: Explanation,
    /// The judgment of `backing`; `null` without one.
    #[serde(default)]
    pub backing_verdict: Option<BackingVerdict>,
    /// The cause, in a sentence or two.
    pub cause: String,
    /// The remedy, in a sentence; `null` if there is none.
    pub remedy: Option<String>,
    /// The remedies that a program can offer as buttons; often empty.
    #[serde(default, deserialize_with = "slipway_problem::known_actions")]
    pub actions: Vec<Action>,
}

impl Explained {
    /// Adds the texts to an explanation of a session.
    pub fn new(session: SessionId, explanation: Explanation) -> Self {
        Self {
            session,
            backing_verdict: explanation.backing_verdict(),
            cause: explanation.cause(),
            remedy: explanation.remedy(),
            actions: explanation.actions(),
            explanation,
        }
    }
}
