//! Why a name failed.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::event::{Answerer, Outcome};
use crate::name::{Label, Name};
use crate::scope::Rule;

/// What one side says about a name now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Finding {
    /// What it answered.
    pub outcome: Outcome,
    /// The name under which it was found or last asked.
    pub asked: Name,
    /// The addresses it gave, IPv4 first.
    pub addresses: Vec<IpAddr>,
    /// How long it took.
    pub took: Duration,
}

/// Why a name answers as it does.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
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
}

/// Whose name it is, who answers, why it fails, and what was perhaps meant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Explanation {
    /// The name that was asked about.
    pub name: Name,
    /// The session's namespace.
    pub namespace: Label,
    /// The rule that says whose name it is.
    pub rule: Rule,
    /// The full names that stand for it in the cluster, in order.
    pub candidates: Vec<Name>,
    /// What the cluster says now; `None` if it has no say and was not asked.
    pub cluster: Option<Finding>,
    /// What the laptop's own name servers say now.
    pub laptop: Option<Finding>,
    /// Whose answer programs get.
    pub answerer: Answerer,
    /// Why.
    pub cause: Cause,
    /// What may have been meant, likeliest first.
    pub near: Vec<Name>,
}
