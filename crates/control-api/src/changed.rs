//! Outcome of a change of a running session.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use slipway_problem::Problem;
use slipway_profile::Change;

/// Outcome of a change of a running session. `slipway change --json` prints one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Changed {
    /// The number with which the change can be undone; `null` if nothing changed, or if this was an undo.
    #[serde(default)]
    pub number: Option<u32>,
    /// What changed in the session. What was so already is left out.
    pub change: Change,
    /// What changes in the saved profile; `null` if it is not changed.
    #[serde(default)]
    pub profile: Option<Change>,
    /// Addresses of added hosts, as the cluster's DNS knows them. A host without an answer is left out.
    #[serde(default)]
    pub hosts: Vec<HostAddresses>,
    /// Problems with what was added. The session reports them too, as long as they last.
    #[serde(default)]
    pub problems: Vec<Problem>,
}

/// Addresses of a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HostAddresses {
    /// The host.
    pub host: String,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
}
