//! Interface between a session and its cluster.
//!
//! The states of a session know only these traits. [`kubernetes`] implements them; tests use a scripted cluster.

use std::net::IpAddr;
use std::time::Duration;

use futures_util::stream::BoxStream;
use ipnet::IpNet;
use slipway_api_server::request::ApiError;
use slipway_carrier::CarrierError;
use slipway_cluster::obstacles::DnsPods;
use slipway_cluster::placement::{AgentPod, Progress};
use slipway_control_api::{AgentEnd, Backing, NameFacts};
use slipway_key::Key;
use slipway_names::Namespaces;
use slipway_problem::Problem;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

use crate::error::SessionError;
use crate::options::Options;

pub(crate) mod kubernetes;
mod namespaces;

/// Clusters that a session can choose from.
pub(crate) trait Clusters: Send + Sync {
    /// A chosen cluster to which no request was sent yet.
    type Target: Send + Sync;
    /// A cluster whose API server answers.
    type Cluster: Cluster;

    /// Chooses the cluster and namespace that the profile names.
    fn choose(&self, options: &Options) -> impl Future<Output = Result<Self::Target, SessionError>> + Send;

    /// Returns the context and namespace of the chosen cluster.
    fn place(target: &Self::Target) -> Location;

    /// Returns a stream of the problems of the login, after each change. It may end.
    fn login_problems(target: &Self::Target) -> BoxStream<'static, Vec<Problem>>;

    /// Connects to the API server and reads the facts that a session needs.
    fn reach(
        &self,
        target: Self::Target,
        options: &Options,
    ) -> impl Future<Output = Result<(Self::Cluster, Facts), SessionError>> + Send;
}

/// A context and a namespace, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Location {
    pub(crate) context: String,
    pub(crate) namespace: String,
}

/// Facts about a cluster that are known before an agent runs in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) place: Location,
    /// Networks that the cluster declares as its own.
    pub(crate) networks: Vec<IpNet>,
    pub(crate) namespaces: Namespaces,
    pub(crate) needed: NeededHosts,
    /// Probable address of the service `kubernetes`: the first one of the cluster's services.
    pub(crate) api_service: Option<IpAddr>,
}

/// Names and addresses of the API server, of a proxy in front of it, and of the hosts that the login names. The session
/// needs them itself, also while it has no tunnel, so none of them may lead through the session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NeededHosts {
    pub(crate) names: Vec<String>,
    pub(crate) addresses: Vec<IpAddr>,
}

/// The agent of this session, with the key that it accepts.
#[derive(Clone, Debug)]
pub(crate) struct PlacedAgent {
    pub(crate) agent: AgentPod,
    pub(crate) key: Key,
    /// Whether an earlier session placed it.
    pub(crate) found: bool,
}

/// Reader of what may stand behind an agent that reaches nothing. Many users may not read it.
pub(crate) trait Obstacles: Send + Sync + 'static {
    /// Counts the pods of the cluster's DNS.
    fn dns_pods(&self) -> impl Future<Output = Result<DnsPods, ApiError>> + Send;

    /// Lists the names of the network policies that limit what the agent's pod sends.
    fn egress_policies(&self, agent: &AgentPod)
    -> impl Future<Output = Result<Vec<String>, ApiError>> + Send;
}

/// One cluster, in which a session has one namespace and at most one agent.
pub(crate) trait Cluster: Obstacles {
    /// The end of a carrier that bytes come from.
    type Reader: AsyncRead + Send + Unpin;
    /// The end of a carrier that bytes go into.
    type Writer: AsyncWrite + Send + Unpin;

    /// Finds the agent that the last session of this profile left, if it still runs.
    fn kept_agent(&self) -> impl Future<Output = Result<Option<PlacedAgent>, SessionError>> + Send;

    /// Starts a new agent in the cluster, and stores its key for the next session.
    fn place_agent(
        &self,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> impl Future<Output = Result<PlacedAgent, SessionError>> + Send;

    /// Removes what an attempt to place an agent has created, if it was cut short, within a limited time.
    fn abandon_attempt(&self) -> impl Future<Output = ()> + Send;

    /// Removes an agent and its stored key, within a limited time. An agent that cannot be removed ends after its grace.
    fn remove_agent(&self, agent: &PlacedAgent) -> impl Future<Output = ()> + Send;

    /// Removes what is left of an agent that no session uses any more, within a limited time: its pod may still run
    /// containers that the cluster added.
    fn discard_agent(&self, agent: &AgentPod) -> impl Future<Output = ()> + Send;

    /// Follows the agent and sends how it ended: first whether its pod is being deleted, and last how its program ended.
    /// Returns then, or where the user may not watch pods.
    fn watch_agent(
        &self,
        agent: &AgentPod,
        end: watch::Sender<Option<AgentEnd>>,
    ) -> impl Future<Output = ()> + Send;

    /// Opens a carrier to the agent.
    fn open(
        &self,
        agent: &AgentPod,
    ) -> impl Future<Output = Result<(Self::Reader, Self::Writer), CarrierError>> + Send;

    /// Returns how much longer [`open`](Self::open) may take while the working kind of carrier is unknown.
    fn head_start(&self) -> Duration;

    /// Looks up the addresses of the hosts that the session needs itself, within a limited time.
    fn needed_addresses(&self) -> impl Future<Output = Vec<IpAddr>> + Send;

    /// Returns a stream of the namespaces after each change. It never ends, and is silent where the user may not list them.
    fn namespaces(&self) -> BoxStream<'static, Namespaces>;

    /// Reads what stands behind a name, within a limited time. `None` if the name is not a service's.
    fn backing(&self, facts: &NameFacts) -> impl Future<Output = Option<Backing>> + Send;
}
