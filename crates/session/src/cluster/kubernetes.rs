//! Implementation of the cluster traits for the clusters of a kubeconfig, and those that profiles name.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::{self, BoxStream};
use ipnet::IpNet;
use slipway_agent_binary::AGENT;
use slipway_api_server::Target;
use slipway_api_server::kubeconfig::choose;
use slipway_api_server::login::LoginReport;
use slipway_api_server::request::{Access, ApiError};
use slipway_carrier::{CarrierError, CarrierOpener, Endpoint, HEAD_START, PipeReader, PipeWriter};
use slipway_cluster::keys::{AgentIdentity, Kept, KeyError, KeyStore, PodIdentity};
use slipway_cluster::obstacles::{self, DnsPods};
use slipway_cluster::placement::{
    self, AGENT_CONTAINER, AGENT_PORT, AgentPod, Created, PlaceError, Placement, Progress, agent_command,
    grace_of, image_of, watch_end,
};
use slipway_cluster::{backing, list, permissions, ranges};
use slipway_control_api::{AgentEnd, Backing, LOGIN_WAITS, NameFacts};
use slipway_key::Key;
use slipway_names::Namespaces;
use slipway_problem::{Fault, Problem};
use slipway_profile::AgentSettings;
use tokio::sync::watch;
use tokio::time::timeout;
use uuid::Uuid;

use super::namespaces::{Followed, known};
use super::{Cluster, Clusters, Facts, Location, NeededHosts, Obstacles, PlacedAgent};
use crate::chosen::chosen;
use crate::error::SessionError;
use crate::options::Options;

/// Limit of the lookup of the API server's addresses with the laptop's resolver. The same wait is not repeated: the
/// request to the API server runs beside it.
const SERVER_LOOKUP_LIMIT: Duration = Duration::from_secs(10);

/// Limit of the removal of an agent that never served.
const REMOVAL: Duration = Duration::from_secs(5);

/// The clusters of the user's kubeconfig, and those that profiles name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kubernetes;

/// A cluster whose API server answers.
pub(crate) struct KubernetesCluster {
    client: kube::Client,
    target: Target,
    namespaces: Namespaces,
    opener: CarrierOpener,
    agent: AgentIdentity,
    settings: AgentSettings,
    /// What an attempt to place an agent has created, until the attempt ends.
    unfinished: Mutex<Option<Created>>,
}

impl Clusters for Kubernetes {
    type Target = Target;
    type Cluster = KubernetesCluster;

    async fn choose(&self, options: &Options) -> Result<Target, SessionError> {
        let (sources, choice) = chosen(&options.profile, &options.home, options.terminal);
        Ok(choose(&sources, &choice)?)
    }

    fn place(target: &Target) -> Location {
        Location {
            context: target.context.clone(),
            namespace: target.namespace.clone(),
        }
    }

    fn login_problems(target: &Target) -> BoxStream<'static, Vec<Problem>> {
        let reports = target.login().report();
        stream::unfold((reports, target.clone()), |(mut reports, target)| async move {
            reports.changed().await.ok()?;
            let report = reports.borrow_and_update().clone();
            Some((of_login(&target, report), (reports, target)))
        })
        .boxed()
    }

    async fn reach(
        &self,
        target: Target,
        options: &Options,
    ) -> Result<(KubernetesCluster, Facts), SessionError> {
        let client = target.client().await?;
        let searched = [target.namespace.clone()];
        // A user who may not list namespaces or read ranges still connects: the session learns names and addresses as
        // programs use them.
        let rest = async {
            let rest = tokio::join!(
                ranges::learn(&client, &searched),
                list::namespaces(&client),
                needed_hosts(&target),
            );
            Ok(rest)
        };
        // If the API server does not answer, stop waiting for the rest.
        let (version, (ranges, listed, needed)) = tokio::try_join!(target.probe(&client), rest)?;
        tracing::info!(version = version.version, ?ranges, "the API server answers");
        let namespaces = listed.map_or(Namespaces::Unknown, |listed| {
            known(listed.iter().map(|namespace| namespace.name.as_str()))
        });
        let facts = Facts {
            place: Self::place(&target),
            networks: ranges.services.iter().chain(&ranges.pods).copied().collect(),
            namespaces: namespaces.clone(),
            needed,
            api_service: ranges.services.iter().find_map(first_address),
        };
        let agent = agent_identity(&target, options);
        let cluster = KubernetesCluster {
            client,
            target,
            namespaces,
            opener: CarrierOpener::new(None),
            agent,
            settings: options.profile.agent.clone(),
            unfinished: Mutex::default(),
        };
        Ok((cluster, facts))
    }
}

impl Obstacles for KubernetesCluster {
    async fn dns_pods(&self) -> Result<DnsPods, ApiError> {
        obstacles::dns_pods(&self.client).await
    }

    async fn egress_policies(&self, agent: &AgentPod) -> Result<Vec<String>, ApiError> {
        obstacles::egress_policies(&self.client, agent).await
    }
}

impl Cluster for KubernetesCluster {
    type Reader = PipeReader;
    type Writer = PipeWriter;

    async fn kept_agent(&self) -> Result<Option<PlacedAgent>, SessionError> {
        let Some(kept) = KeyStore::of_user()?.load(&self.agent)? else {
            return Ok(None);
        };
        let found = match placement::find(&self.client, &self.target.namespace, kept.session).await {
            Ok(found) => found,
            Err(ApiError::Forbidden { access, .. }) => return Err(self.forbidden(access)),
            Err(error) => return Err(error.into()),
        };
        Ok(found.map(|agent| {
            tracing::info!(pod = agent.pod, "found the agent of the last session");
            PlacedAgent {
                agent,
                key: kept.key.clone(),
                found: true,
            }
        }))
    }

    async fn place_agent(
        &self,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<PlacedAgent, SessionError> {
        self.check_beforehand().await?;
        let store = KeyStore::of_user()?;
        let session = Uuid::new_v4();
        let key = Key::generate().map_err(KeyError::from)?;
        let placement = Placement {
            namespace: self.target.namespace.clone(),
            session,
            settings: &self.settings,
            key: key.clone(),
            binary: AGENT,
        };
        // Save the key before the pod exists: if this process is killed in between, the next session still finds the pod.
        let kept = Kept {
            session,
            key: key.clone(),
        };
        store.save(&self.agent, &kept)?;
        let noting = |step: Progress| {
            if let Progress::Created(created) = &step {
                self.set_unfinished(Some(created.clone()));
            }
            progress(step);
        };
        let placed = placement::place(&self.client, &placement, &noting).await;
        self.set_unfinished(None);
        if placed.is_err() {
            forget(&store, &self.agent);
        }
        Ok(PlacedAgent {
            agent: placed?,
            key,
            found: false,
        })
    }

    async fn abandon_attempt(&self) {
        let Some(created) = self.set_unfinished(None) else {
            return;
        };
        let removal = placement::remove_created(&self.client, &self.target.namespace, &created);
        match timeout(REMOVAL, removal).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "could not remove an agent that had not started"),
            Err(_) => tracing::warn!(
                ?REMOVAL,
                "an agent that had not started could not be removed in time"
            ),
        }
    }

    async fn remove_agent(&self, agent: &PlacedAgent) {
        if !self.discard(&agent.agent).await {
            return;
        }
        match KeyStore::of_user() {
            Ok(store) => forget(&store, &self.agent),
            Err(error) => tracing::debug!(%error, "could not remove the key of a removed agent"),
        }
    }

    async fn discard_agent(&self, agent: &AgentPod) {
        self.discard(agent).await;
    }

    async fn watch_agent(&self, agent: &AgentPod, end: watch::Sender<Option<AgentEnd>>) {
        if let Err(error) = watch_end(&self.client, agent, &end).await {
            // The session still notices that the carriers end, but later.
            tracing::info!(%error, "cannot watch the agent's pod");
        }
    }

    async fn open(&self, agent: &AgentPod) -> Result<(PipeReader, PipeWriter), CarrierError> {
        let port = AGENT_PORT.to_string();
        // Where port-forward fails, exec starts the agent's program, which joins its standard input and output to the port.
        let endpoint = Endpoint::new(&agent.namespace, &agent.pod, AGENT_PORT)?
            .with_command(AGENT_CONTAINER, agent_command(&["stdio", "--port", &port]));
        let pipe = self.opener.open(&self.client, &endpoint).await?;
        Ok(pipe.into_split())
    }

    fn head_start(&self) -> Duration {
        match self.opener.preferred() {
            Some(_) => Duration::ZERO,
            None => HEAD_START,
        }
    }

    async fn needed_addresses(&self) -> Vec<IpAddr> {
        needed_hosts(&self.target).await.addresses
    }

    fn namespaces(&self) -> BoxStream<'static, Namespaces> {
        let followed = Followed::new(&self.client, &self.namespaces);
        stream::unfold(followed, |mut followed| async {
            Some((followed.next().await, followed))
        })
        .boxed()
    }

    async fn backing(&self, facts: &NameFacts) -> Option<Backing> {
        backing::read(&self.client, facts).await
    }
}

impl KubernetesCluster {
    /// Replaces what the present attempt has created, and returns what it was.
    fn set_unfinished(&self, created: Option<Created>) -> Option<Created> {
        let mut unfinished = self.unfinished.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut unfinished, created)
    }

    /// Removes an agent from the cluster, and returns whether that succeeded.
    async fn discard(&self, agent: &AgentPod) -> bool {
        match timeout(REMOVAL, placement::remove(&self.client, agent)).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::warn!(%error, "could not remove the agent; it ends after its grace");
                false
            }
            Err(_) => {
                tracing::warn!(?REMOVAL, "the agent could not be removed in time");
                false
            }
        }
    }

    /// Checks, before anything is created, that the namespace exists and the user has the permissions. Where the cluster
    /// does not answer such questions, the attempt itself shows it.
    async fn check_beforehand(&self) -> Result<(), SessionError> {
        let namespace = &self.target.namespace;
        if let Namespaces::Known(known) = &self.namespaces
            && !known.contains(namespace.as_bytes())
        {
            let namespace = namespace.clone();
            return Err(PlaceError::NamespaceMissing { namespace }.into());
        }
        match permissions::in_the_way(&self.client, namespace).await {
            Ok(None) => Ok(()),
            Ok(Some(access)) => Err(self.forbidden(access)),
            Err(error) => {
                tracing::debug!(%error, "cannot check permissions beforehand");
                Ok(())
            }
        }
    }

    fn forbidden(&self, access: Access) -> SessionError {
        let role = permissions::grant_yaml(&self.target.namespace);
        PlaceError::Forbidden { access, role }.into()
    }
}

/// Returns the problems of a login: what a plugin says to a person, and why the API server refuses requests.
fn of_login(target: &Target, report: LoginReport) -> Vec<Problem> {
    let plugin = || target.login().plugin().unwrap_or_default();
    let says = (!report.words.is_empty()).then(|| {
        Problem::new(
            LOGIN_WAITS,
            format!(
                "The credential plugin {} says: {}",
                plugin(),
                report.words.join(" ")
            ),
            "Do what it says; the session goes on when it has finished.",
        )
    });
    let refused = report.problem.map(|error| target.failed(error.into()).problem());
    refused.into_iter().chain(says).collect()
}

fn forget(store: &KeyStore, agent: &AgentIdentity) {
    if let Err(error) = store.forget(agent) {
        tracing::debug!(%error, "could not remove the key of a removed agent");
    }
}

/// Returns the first address of a range of services, which the API server gives to its own service.
fn first_address(range: &IpNet) -> Option<IpAddr> {
    match range {
        IpNet::V4(range) => range.hosts().next().map(IpAddr::from),
        IpNet::V6(_) => None,
    }
}

fn agent_identity(target: &Target, options: &Options) -> AgentIdentity {
    let profile = &options.profile;
    AgentIdentity {
        server: target.server.clone(),
        namespace: target.namespace.clone(),
        profile: options.saved.then(|| profile.identity()),
        image: image_of(&profile.agent).to_owned(),
        grace_seconds: grace_of(&profile.agent).as_secs(),
        pod: PodIdentity::of(&profile.agent),
    }
}

/// Returns the hosts that the session needs itself. Addresses are those of the one that the laptop connects to for the API
/// server, and of the login's.
async fn needed_hosts(target: &Target) -> NeededHosts {
    let (server, proxy) = (target.server_host(), target.proxy_host());
    let login = target.login().hosts();
    let nearest = proxy.as_ref().or(server.as_ref());
    let looked_up = nearest.into_iter().chain(&login).map(|host| addresses(host));
    let addresses = join_all(looked_up).await.concat();
    let names = server.into_iter().chain(proxy).chain(login).collect();
    NeededHosts { names, addresses }
}

/// Returns the addresses of a host; none if the laptop's resolver does not answer in time.
async fn addresses(host: &str) -> Vec<IpAddr> {
    match timeout(SERVER_LOOKUP_LIMIT, tokio::net::lookup_host((host, 443))).await {
        Ok(Ok(found)) => found.map(|address| address.ip()).collect(),
        Ok(Err(error)) => {
            tracing::debug!(%error, host, "cannot resolve an address that the session needs");
            Vec::new()
        }
        Err(_) => {
            tracing::debug!(host, "no answer in time for an address that the session needs");
            Vec::new()
        }
    }
}
