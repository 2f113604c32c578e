//! Kubernetes: the clusters of the user's kubeconfig, through their API servers.

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
    agent_command, watch_gone,
};
use slipway_cluster::{list, permissions, ranges};
use slipway_key::Key;
use slipway_names::Namespaces;
use tokio::time::timeout;
use uuid::Uuid;

use super::namespaces::{Followed, known};
use super::{ApiServer, Cluster, Clusters, Facts, Location, PlacedAgent};
use crate::error::SessionError;
use crate::options::Options;

/// How long the laptop's resolver may take for the API server's own address. The API server itself was reached by then,
/// or is found not to be.
const OWN_WAY_WITHIN: Duration = Duration::from_secs(10);

/// How long the removal of an agent may take that never served.
const REMOVAL: Duration = Duration::from_secs(5);

/// How long an agent waits for a client that went away, where the profile does not say.
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
        // A user who may not list namespaces, or learn ranges, goes on without: names and addresses are learned as they
        // are used.
        let rest = async {
            let rest = tokio::join!(
                ranges::learn(&client, &searched),
                list::namespaces(&client),
                api_server(&target),
            );
            Ok(rest)
        };
        // Where the API server does not answer, none of the rest is waited for.
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
            tracing::info!(pod = agent.pod, "the agent of the last session still runs");
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
        // Before the pod: if this process is killed in between, the next session still knows whose the pod is.
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
            Ok(Err(error)) => return tracing::warn!(%error, "the agent stays until its grace time is over"),
            Err(_elapsed) => return tracing::warn!(?REMOVAL, "the agent could not be removed in time"),
        }
        match KeyStore::of_user() {
            Ok(store) => forget(&store, &self.agent),
            Err(error) => tracing::debug!(%error, "the key of an agent that is gone is left"),
        }
    }

    async fn agent_gone(&self, agent: &AgentPod) {
        match watch_gone(&self.client, agent).await {
            Ok(gone) => tracing::warn!("{gone}"),
            Err(error) => {
                // The end of its carriers is noticed as well, only later.
                tracing::info!(%error, "the agent's pod is not watched");
                std::future::pending().await
            }
        }
    }

    async fn open(&self, agent: &AgentPod) -> Result<(PipeReader, PipeWriter), CarrierError> {
        let port = AGENT_PORT.to_string();
        // Where port-forward does not get through, the agent's program joins its own standard input and output.
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
}

impl KubernetesCluster {
    /// Finds out before anything is created that there is no such namespace, or what the user may not do in it. Where the
    /// cluster does not say, the attempt shows.
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
                tracing::debug!(%error, "permissions are not known beforehand");
                Ok(())
            }
        }
    }

    fn forbidden(&self, access: Access) -> SessionError {
        let role = permissions::role_yaml(&self.target.namespace);
        PlaceError::Forbidden { access, role }.into()
    }
}

fn forget(store: &KeyStore, agent: &AgentIdentity) {
    if let Err(error) = store.forget(agent) {
        tracing::debug!(%error, "the key of an agent that is gone is left");
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

/// The API server and the proxy before it: their names, and the addresses that the connection really goes to.
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
    let addresses = match timeout(OWN_WAY_WITHIN, looked_up).await {
        Ok(Ok(found)) => found.map(|address| address.ip()).collect(),
        Ok(Err(error)) => {
            tracing::debug!(%error, host = nearest, "the API server's own address is not known");
            Vec::new()
        }
        Err(_) => {
            tracing::debug!(
                host = nearest,
                "no name server answers for the API server's own address"
            );
            Vec::new()
        }
    };
    ApiServer { names, addresses }
}
