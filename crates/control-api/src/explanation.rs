//! Explanation of a name or an address: who answers for it and why, as data. [`words`] puts it into sentences.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use slipway_problem::Action;

use crate::name::Answerer;
use crate::session_id::SessionId;

mod words;

/// Why a name or an address answers as it does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Explanation {
    /// The name or the address, as asked.
    pub name: String,
    /// Who answers for it.
    pub answered_by: Answerer,
    /// The addresses it resolves to; empty where there are none.
    #[serde(default)]
    pub answer: Vec<IpAddr>,
    /// The addresses that programs really get, from getaddrinfo; empty where they get an error, `null` where that was not
    /// found out.
    #[serde(default)]
    pub programs: Option<Vec<IpAddr>>,
    /// What was found out.
    pub found: Found,
}

/// What was found out about a name or an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "about", rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Found {
    /// Both sides were asked for the name.
    Name(Box<NameFacts>),
    /// The kernel was asked for its route to the address.
    Address(AddressFacts),
    /// It is no name that DNS can hold.
    NotAName,
    /// The session is not connected, so only the laptop's own names answer.
    NotConnected,
}

/// What is known of a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NameFacts {
    /// The name that was asked for; with a search domain behind it where that is what programs get.
    pub asked: String,
    /// The search domain of the laptop that is behind it.
    pub search_domain: Option<String>,
    /// The session's namespace.
    pub namespace: String,
    /// The rule that says whose name it is.
    pub rule: NameRule,
    /// The full names that stand for it in the cluster, in order.
    pub candidates: Vec<String>,
    /// What the cluster says now; `null` if it has no say and was not asked.
    pub cluster: Option<Said>,
    /// What the laptop's own name servers say now.
    pub laptop: Option<Said>,
    /// What follows.
    pub verdict: NameVerdict,
    /// A service of that name in another namespace, for a name that is nowhere.
    pub near: Option<String>,
    /// Why programs may not have its addresses, in a sentence without a full stop.
    pub withheld: Option<String>,
}

/// What one side says about a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Said {
    /// What it answered.
    pub outcome: NameOutcome,
    /// The name under which it was found or last asked.
    pub asked: String,
    /// The addresses it gave, IPv4 first.
    pub addresses: Vec<IpAddr>,
    /// How long it took, in milliseconds.
    pub took_ms: u32,
}

/// An answer of a name server.
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
    /// The cluster has the name, at addresses that programs may not have.
    Withheld,
}

impl NameOutcome {
    /// Whether the name exists.
    pub const fn exists(self) -> bool {
        matches!(self, Self::Found | Self::NoData)
    }
}

/// The rule that says whose a name is.
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
    /// The laptop's resolver has put one of its search domains behind a short name.
    LaptopSearch {
        /// That domain.
        suffix: String,
    },
    /// A name that the laptop has a meaning for itself, or that programs would take a proxy from.
    Reserved,
    /// Below a domain that the cluster says is its own, which is doubted.
    DoubtfulDomain,
    /// A name that never exists (RFC 6761).
    SpecialUse,
    /// Not a question about a host: zone transfers, other classes.
    NotAHost,
    /// Everything else.
    Public,
}

/// Why a name answers as it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum NameVerdict {
    /// It answers as it should.
    Answered,
    /// The name exists on the side that counts, without an address.
    NoAddress,
    /// Neither side has it.
    Nowhere,
    /// The cluster has it, but by the rules it is the laptop's, which has not.
    OnlyInCluster,
    /// Both have it and the laptop's counts: the cluster's is hidden.
    HiddenByLaptop,
    /// The cluster could not be asked.
    ClusterSilent,
    /// The laptop's own name servers could not be asked.
    LaptopSilent,
    /// It belongs to a session that is not this one.
    OtherSession,
    /// It is a name that never exists.
    Never,
    /// The cluster has it, at addresses that programs may not have.
    Withheld,
}

/// What is known of an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AddressFacts {
    /// Whether it is an address of the laptop itself.
    pub local: bool,
    /// The route that the kernel would take; `null` where none leads there, and for an address of the laptop itself.
    pub route: Option<AddressRoute>,
}

/// A route of the laptop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AddressRoute {
    /// Where it leads.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub net: IpNet,
    /// The device that it leads through.
    pub device: String,
}

/// An explanation, the session that gave it, and what it says in sentences. The form of `slipway explain --json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Explained {
    /// The session whose answer counts.
    pub session: SessionId,
    /// Its explanation.
    #[serde(flatten)]
    pub explanation: Explanation,
    /// Why, in a sentence or two.
    pub cause: String,
    /// What would change it, in a sentence, if something would.
    pub remedy: Option<String>,
    /// The remedies that a program can offer as buttons; often empty.
    #[serde(default, deserialize_with = "slipway_problem::known_actions")]
    pub actions: Vec<Action>,
}

impl Explained {
    /// Puts an explanation of a session into words.
    pub fn new(session: SessionId, explanation: Explanation) -> Self {
        Self {
            session,
            cause: explanation.cause(),
            remedy: explanation.remedy(),
            actions: explanation.actions(),
            explanation,
        }
    }
}
