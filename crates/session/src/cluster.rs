//! Cluster as a session sees it: what it asks of Kubernetes, and what it is told.
//!
//! The states of a session know these traits only. [`kubernetes`] carries them out; tests bring a scripted cluster.

use std::net::IpAddr;
use std::time::Duration;

use futures_util::stream::BoxStream;
use ipnet::IpNet;
use slipway_carrier::CarrierError;
use slipway_cluster::placement::{AgentPod, Progress};
use slipway_key::Key;
use slipway_names::Namespaces;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::error::SessionError;
use crate::options::Options;

pub(crate) mod kubernetes;
mod namespaces;

/// Clusters that a session may choose from.
pub(crate) trait Clusters: Send + Sync {
    /// A cluster that was chosen and not asked yet.
    type Target: Send + Sync;
    /// A cluster that answers.
    type Cluster: Cluster;

    /// Chooses as the profile says.
    fn choose(&self, options: &Options) -> impl Future<Output = Result<Self::Target, SessionError>> + Send;

    /// The names under which users know what was chosen.
    fn place(target: &Self::Target) -> Location;

    /// Asks the API server, and learns what a session needs to know of the cluster.
    fn reach(
        &self,
        target: Self::Target,
        options: &Options,
    ) -> impl Future<Output = Result<(Self::Cluster, Facts), SessionError>> + Send;
}

/// The names of a context and a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Location {
    pub(crate) context: String,
    pub(crate) namespace: String,
}

/// What is known of a cluster before an agent is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) place: Location,
    /// The networks that the cluster declares as its own.
    pub(crate) networks: Vec<IpNet>,
    pub(crate) namespaces: Namespaces,
    pub(crate) api_server: ApiServer,
}

/// The API server, and a proxy before it, as the laptop reaches them. They carry the session, so neither their names nor
/// their addresses may lead through it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ApiServer {
    pub(crate) names: Vec<String>,
    pub(crate) addresses: Vec<IpAddr>,
}

/// An agent of this session, and the key that it accepts.
#[derive(Clone, Debug)]
pub(crate) struct PlacedAgent {
    pub(crate) agent: AgentPod,
    pub(crate) key: Key,
    /// Whether an earlier session placed it.
    pub(crate) found: bool,
}

/// One cluster, in which a session has one namespace and at most one agent.
pub(crate) trait Cluster: Send + Sync + 'static {
    /// The end of a carrier that bytes come from.
    type Reader: AsyncRead + Send + Unpin;
    /// The end of a carrier that bytes go into.
    type Writer: AsyncWrite + Send + Unpin;

    /// Finds the agent that the last session of this profile left, if it still runs.
    fn kept_agent(&self) -> impl Future<Output = Result<Option<PlacedAgent>, SessionError>> + Send;

    /// Puts a new agent into the cluster, and keeps its key for the next session.
    fn place_agent(
        &self,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> impl Future<Output = Result<PlacedAgent, SessionError>> + Send;

    /// Removes an agent and forgets its key. One that cannot be removed ends by itself after its grace time. The wait is
    /// limited.
    fn remove_agent(&self, agent: &PlacedAgent) -> impl Future<Output = ()> + Send;

    /// Ends when the agent's pod is gone; never where pods may not be watched.
    fn agent_gone(&self, agent: &AgentPod) -> impl Future<Output = ()> + Send;

    /// Opens a carrier to the agent.
    fn open(
        &self,
        agent: &AgentPod,
    ) -> impl Future<Output = Result<(Self::Reader, Self::Writer), CarrierError>> + Send;

    /// How much longer [`open`](Self::open) may take while it is not known which transport works.
    fn head_start(&self) -> Duration;

    /// The namespaces after each change; silent where they may not be listed. Does not end.
    fn namespaces(&self) -> BoxStream<'static, Namespaces>;
}
