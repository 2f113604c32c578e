//! Scripted cluster: each answer is set by the test.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use slipway_api_server::request::{Access, ApiError};
use slipway_carrier::CarrierError;
use slipway_cluster::obstacles::DnsPods;
use slipway_cluster::placement::{AgentPod, PlaceError, Progress};
use slipway_control_api::{AgentEnd, Backing, NameFacts};
use slipway_names::Namespaces;
use slipway_problem::Problem;
use tokio::io::{DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};

use super::agent::{Manner, Network, ScriptedAgent};
use crate::cluster::{Cluster, Clusters, Facts, Location, NeededHosts, Obstacles, PlacedAgent};
use crate::error::SessionError;
use crate::options::Options;

/// One answer of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Yes,
    /// No, until somebody changes something.
    No,
    /// Not now. Only placings have this answer.
    NotNow,
    Never,
}

/// Script of a cluster, and a record of its requests.
pub(super) struct Script {
    pub(super) chosen: Answer,
    pub(super) reached: Answer,
    pub(super) namespace: &'static str,
    /// The agent that the last session left.
    pub(super) kept: Option<Manner>,
    pub(super) kept_found: Answer,
    /// Outcomes of placings, in order. After the last one, every agent serves.
    pub(super) placings: Mutex<VecDeque<(Answer, Manner)>>,
    pub(super) agents: Mutex<Vec<Arc<ScriptedAgent>>>,
    pub(super) removed: Mutex<Vec<String>>,
    /// Number of attempts to place an agent that were cut short.
    pub(super) abandoned: AtomicUsize,
    /// Agents whose remains were removed.
    pub(super) discarded: Mutex<Vec<String>>,
    pub(super) network: watch::Sender<Network>,
    pub(super) namespaces: Mutex<Option<mpsc::Receiver<Namespaces>>>,
    /// Network policies that select the agent's pod; `None` if the user may not list them.
    pub(super) policies: Option<&'static str>,
    /// Addresses of the hosts that the session needs.
    pub(super) needed: Mutex<Vec<IpAddr>>,
    /// Pods of the cluster's DNS; `None` if the user may not list them.
    pub(super) dns_pods: Option<DnsPods>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            chosen: Answer::Yes,
            reached: Answer::Yes,
            namespace: "shop",
            kept: None,
            kept_found: Answer::Yes,
            placings: Mutex::default(),
            agents: Mutex::default(),
            removed: Mutex::default(),
            abandoned: AtomicUsize::new(0),
            discarded: Mutex::default(),
            network: watch::Sender::new(Network::Works),
            namespaces: Mutex::default(),
            policies: None,
            needed: Mutex::default(),
            dns_pods: None,
        }
    }
}

impl Script {
    /// Sets the outcomes of the next placings.
    pub(super) fn placing(self, placings: impl IntoIterator<Item = (Answer, Manner)>) -> Self {
        self.placings.lock().unwrap().extend(placings);
        self
    }

    /// Returns the agent that was placed or found last.
    pub(super) fn agent(&self) -> Arc<ScriptedAgent> {
        self.agents.lock().unwrap().last().unwrap().clone()
    }

    pub(super) fn pods(&self) -> Vec<String> {
        let agents = self.agents.lock().unwrap();
        agents.iter().map(|agent| agent.pod.clone()).collect()
    }

    fn add(&self, pod: &str, manner: Manner) -> Arc<ScriptedAgent> {
        let agent = ScriptedAgent::new(pod, manner);
        self.agents.lock().unwrap().push(agent.clone());
        agent
    }
}

/// Yields to other tasks, as a real request would, then answers.
async fn answer(answer: Answer, error: impl FnOnce() -> SessionError) -> Result<(), SessionError> {
    tokio::time::sleep(Duration::from_millis(1)).await;
    match answer {
        Answer::Yes => Ok(()),
        Answer::No | Answer::NotNow => Err(error()),
        Answer::Never => std::future::pending().await,
    }
}

fn unreachable() -> SessionError {
    ApiError::Timeout {
        waited: Duration::from_secs(1),
    }
    .into()
}

#[derive(Clone)]
pub(super) struct Scripted(pub(super) Arc<Script>);

impl Clusters for Scripted {
    type Target = ();
    type Cluster = Scripted;

    async fn choose(&self, _: &Options) -> Result<(), SessionError> {
        answer(self.0.chosen, unreachable).await
    }

    fn place((): &()) -> Location {
        Location {
            context: "kind".to_owned(),
            namespace: "shop".to_owned(),
        }
    }

    fn login_problems((): &()) -> BoxStream<'static, Vec<Problem>> {
        stream::pending().boxed()
    }

    async fn reach(&self, (): (), _: &Options) -> Result<(Scripted, Facts), SessionError> {
        answer(self.0.reached, unreachable).await?;
        let facts = Facts {
            place: Location {
                context: "kind".to_owned(),
                namespace: self.0.namespace.to_owned(),
            },
            networks: vec!["10.96.0.0/16".parse().unwrap()],
            namespaces: Namespaces::Unknown,
            needed: NeededHosts::default(),
            api_service: None,
        };
        Ok((self.clone(), facts))
    }
}

impl Obstacles for Scripted {
    async fn dns_pods(&self) -> Result<DnsPods, ApiError> {
        self.0.dns_pods.ok_or_else(|| forbidden("kube-system", "pods"))
    }

    async fn egress_policies(&self, agent: &AgentPod) -> Result<Vec<String>, ApiError> {
        match self.0.policies {
            Some(policy) => Ok(vec![policy.to_owned()]),
            None => Err(forbidden(&agent.namespace, "networkpolicies")),
        }
    }
}

fn forbidden(namespace: &str, resource: &'static str) -> ApiError {
    ApiError::Forbidden {
        access: Access::within(namespace, "list", "", resource),
        message: String::new(),
    }
}

impl Cluster for Scripted {
    type Reader = ReadHalf<DuplexStream>;
    type Writer = WriteHalf<DuplexStream>;

    async fn kept_agent(&self) -> Result<Option<PlacedAgent>, SessionError> {
        answer(self.0.kept_found, unreachable).await?;
        let agent = self.0.kept.map(|manner| self.0.add("kept", manner));
        Ok(agent.map(|agent| agent.placed(true)))
    }

    async fn place_agent(
        &self,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<PlacedAgent, SessionError> {
        progress(Progress::Creating);
        progress(Progress::WaitingForPod {
            reason: "Scheduling".to_owned(),
        });
        progress(Progress::Uploading { sent: 1, total: 2 });
        let next = self.0.placings.lock().unwrap().pop_front();
        let (placed, manner) = next.unwrap_or((Answer::Yes, Manner::Serves));
        let refused = || match placed {
            Answer::NotNow => {
                let message = "0/1 nodes are available".to_owned();
                PlaceError::Unschedulable { message }.into()
            }
            Answer::Yes | Answer::No | Answer::Never => {
                let namespace = "shop".to_owned();
                PlaceError::NamespaceMissing { namespace }.into()
            }
        };
        answer(placed, refused).await?;
        progress(Progress::Started);
        let pod = format!("new-{}", self.0.agents.lock().unwrap().len());
        Ok(self.0.add(&pod, manner).placed(false))
    }

    async fn remove_agent(&self, agent: &PlacedAgent) {
        self.0.removed.lock().unwrap().push(agent.agent.pod.clone());
    }

    async fn abandon_attempt(&self) {
        self.0.abandoned.fetch_add(1, Ordering::Relaxed);
    }

    async fn discard_agent(&self, agent: &AgentPod) {
        self.0.discarded.lock().unwrap().push(agent.pod.clone());
    }

    async fn watch_agent(&self, agent: &AgentPod, end: watch::Sender<Option<AgentEnd>>) {
        let agent = {
            let agents = self.0.agents.lock().unwrap();
            agents.iter().find(|one| one.pod == agent.pod).unwrap().clone()
        };
        tokio::select! {
            () = agent.ended.cancelled() => {}
            () = agent.gone.cancelled() => {}
        }
        end.send_replace(Some(AgentEnd::OutOfMemory {
            limit: Some("128Mi".to_owned()),
        }));
    }

    async fn open(&self, agent: &AgentPod) -> Result<(Self::Reader, Self::Writer), CarrierError> {
        tokio::time::sleep(Duration::from_millis(1)).await;
        if *self.0.network.borrow() != Network::Works {
            // An API server that cannot be reached refuses nothing.
            std::future::pending::<()>().await;
        }
        let agents = self.0.agents.lock().unwrap();
        let agent = agents.iter().find(|one| one.pod == agent.pod).unwrap();
        agent.open(self.0.network.subscribe())
    }

    async fn needed_addresses(&self) -> Vec<IpAddr> {
        self.0.needed.lock().unwrap().clone()
    }

    fn head_start(&self) -> Duration {
        Duration::ZERO
    }

    fn namespaces(&self) -> BoxStream<'static, Namespaces> {
        match self.0.namespaces.lock().unwrap().take() {
            Some(changes) => stream::unfold(changes, |mut changes| async {
                let change = changes.recv().await?;
                Some((change, changes))
            })
            .chain(stream::pending())
            .boxed(),
            None => stream::pending().boxed(),
        }
    }

    async fn backing(&self, _: &NameFacts) -> Option<Backing> {
        None
    }
}
