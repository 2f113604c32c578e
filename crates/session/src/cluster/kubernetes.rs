//! Implementation of the cluster traits for the clusters of a kubeconfig.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use slipway_agent_binary::AGENT;
use slipway_carrier::{CarrierError, CarrierOpener, Endpoint, HEAD_START, PipeReader, PipeWriter};
use slipway_cluster::api::{Access, ApiError};
use slipway_cluster::keys::{AgentIdentity, Kept, KeyError, KeyStore};
use slipway_cluster::kubeconfig::{Choice, Sources, Target, choose};
use slipway_cluster::placement::{
    self, AGENT_CONTAINER, AGENT_PORT, AgentPod, DEFAULT_IMAGE, PlaceError, Placement, Progress,
    agent_command, watch_end, watch_gone,
};
use slipway_cluster::{backing, list, permissions, ranges};
use slipway_control_api::{AgentEnd, Backing, NameFacts};
use slipway_key::Key;
use slipway_names::Namespaces;
use tokio::time::timeout;
use uuid::Uuid;

use super::namespaces::{Followed, known};
use super::{ApiServer, Cluster, Clusters, Facts, Location, PlacedAgent};
use crate::error::SessionError;
use crate::options::Options;

/// Limit of the lookup of the API server's addresses with the laptop's resolver. The same wait is not repeated: the
/// request to the API server runs beside it.
const SERVER_LOOKUP_LIMIT: Duration = Duration::from_secs(10);

/// Limit of the removal of an agent that never served.
const REMOVAL: Duration = Duration::from_secs(5);

/// Grace of an agent whose profile sets none.
const DEFAULT_GRACE: Duration = Duration::from_secs(90);

/// The clusters of the user's kubeconfig.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kubernetes;

/// A cluster whose API server answers.
pub(crate) struct KubernetesCluster {
    client: kube::Client,
    target: Target,
    namespaces: Namespaces,
    opener: CarrierOpener,
    agent: AgentIdentity,
}

impl Clusters for Kubernetes {
    type Target = Target;
    type Cluster = KubernetesCluster;

    async fn choose(&self, options: &Options) -> Result<Target, SessionError> {
        let cluster = &options.profile.cluster;
        let file = cluster.kubeconfig.as_ref();
        let file = file.map(|path| path.resolve(&options.home));
        let choice = Choice {
            context: cluster.context.as_ref().map(ToString::to_string),
            namespace: cluster.namespace.as_ref().map(ToString::to_string),
            terminal: options.terminal,
        };
        Ok(choose(&Sources::from_environment(file), &choice).await?)
    }

    fn place(target: &Target) -> Location {
        Location {
            context: target.context.clone(),
            namespace: target.namespace.clone(),
        }
    }

    async fn reach(
        &self,
        target: Target,
        options: &Options,
    ) -> Result<(KubernetesCluster, Facts), SessionError> {
        let client = target.client_by(slipway_carrier::client).await?;
        let searched = [target.namespace.clone()];
        // A user who may not list namespaces or read ranges still connects: the session learns names and addresses as
        // programs use them.
        let rest = async {
            let rest = tokio::join!(
                ranges::learn(&client, &searched),
                list::namespaces(&client),
                api_server(&target),
            );
            Ok(rest)
        };
        // If the API server does not answer, stop waiting for the rest.
        let (version, (ranges, listed, api_server)) = tokio::try_join!(target.probe(&client), rest)?;
        tracing::info!(version = version.version, ?ranges, "the API server answers");
        let namespaces = listed.map_or(Namespaces::Unknown, |listed| {
            known(listed.iter().map(|namespace| namespace.name.as_str()))
        });
        let facts = Facts {
            place: Self::place(&target),
            networks: ranges.services.iter().chain(&ranges.pods).copied().collect(),
            namespaces: namespaces.clone(),
            api_server,
        };
        let agent = agent_identity(&target, options);
        let cluster = KubernetesCluster {
            client,
            target,
            namespaces,
            opener: CarrierOpener::new(None),
            agent,
        };
        Ok((cluster, facts))
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
            image: self.agent.image.clone(),
            grace: self.agent.grace(),
            key: key.clone(),
            binary: AGENT,
        };
        // Save the key before the pod exists: if this process is killed in between, the next session still finds the pod.
        let kept = Kept {
            session,
            key: key.clone(),
        };
        store.save(&self.agent, &kept)?;
        let placed = placement::place(&self.client, &placement, progress).await;
        if placed.is_err() {
            forget(&store, &self.agent);
        }
        Ok(PlacedAgent {
            agent: placed?,
            key,
            found: false,
        })
    }

    async fn remove_agent(&self, agent: &PlacedAgent) {
        match timeout(REMOVAL, placement::remove(&self.client, &agent.agent)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                return tracing::warn!(%error, "could not remove the agent; it ends after its grace");
            }
            Err(_) => return tracing::warn!(?REMOVAL, "the agent could not be removed in time"),
        }
        match KeyStore::of_user() {
            Ok(store) => forget(&store, &self.agent),
            Err(error) => tracing::debug!(%error, "could not remove the key of a removed agent"),
        }
    }

    async fn agent_gone(&self, agent: &AgentPod) {
        match watch_gone(&self.client, agent).await {
            Ok(gone) => tracing::warn!("{gone}"),
            Err(error) => {
                // The session still notices that the carriers end, but later.
                tracing::info!(%error, "cannot watch the agent's pod");
                std::future::pending().await
            }
        }
    }

    async fn agent_end(&self, agent: &AgentPod) -> AgentEnd {
        match watch_end(&self.client, agent).await {
            Ok(end) => end,
            Err(error) => {
                tracing::debug!(%error, "the cluster does not tell how the agent ended");
                std::future::pending().await
            }
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

fn forget(store: &KeyStore, agent: &AgentIdentity) {
    if let Err(error) = store.forget(agent) {
        tracing::debug!(%error, "could not remove the key of a removed agent");
    }
}

fn agent_identity(target: &Target, options: &Options) -> AgentIdentity {
    let profile = &options.profile;
    let image = profile.agent.image.as_ref();
    let grace = profile.agent.grace;
    AgentIdentity {
        server: target.server.clone(),
        namespace: target.namespace.clone(),
        profile: options.saved.then(|| profile.identity()),
        image: image.map_or_else(|| DEFAULT_IMAGE.to_owned(), ToString::to_string),
        grace_seconds: grace.map_or(DEFAULT_GRACE, |grace| grace.duration()).as_secs(),
    }
}

/// Returns the names of the API server and its proxy, and the addresses of the one that the laptop connects to.
async fn api_server(target: &Target) -> ApiServer {
    let host = |url: &http::Uri| {
        let host = url.host()?.trim_start_matches('[').trim_end_matches(']');
        Some(host.to_owned())
    };
    let server = host(&target.config.cluster_url);
    let proxy = target.config.proxy_url.as_ref().and_then(host);
    let names: Vec<String> = server.iter().chain(&proxy).cloned().collect();
    let Some(nearest) = proxy.or(server) else {
        return ApiServer::default();
    };
    let looked_up = tokio::net::lookup_host((nearest.as_str(), 443));
    let addresses = match timeout(SERVER_LOOKUP_LIMIT, looked_up).await {
        Ok(Ok(found)) => found.map(|address| address.ip()).collect(),
        Ok(Err(error)) => {
            tracing::debug!(%error, host = nearest, "cannot resolve the API server's address");
            Vec::new()
        }
        Err(_) => {
            tracing::debug!(host = nearest, "no answer for the API server's address in time");
            Vec::new()
        }
    };
    ApiServer { names, addresses }
}
