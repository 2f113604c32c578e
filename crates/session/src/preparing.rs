//! State preparing: chooses and contacts the cluster, and checks the laptop. It changes nothing.

use std::sync::Arc;

use futures_util::stream::BoxStream;
use slipway_control_api::State;
use slipway_method::Method;
use slipway_tunnel::{FromAgent, Limits, Tunnel};

use crate::cluster::Clusters;
use crate::context::SessionContext;
use crate::error::SessionError;
use crate::exit::Exit;
use crate::link::Link;
use crate::login::LoginWatch;
use crate::losses::Losses;
use crate::name_events::Unseen;
use crate::states::{Event, Laptop, Prepared, WantedAgent};

/// Input of the first state.
pub(crate) struct Preparing<K> {
    pub(crate) clusters: K,
    pub(crate) method: Box<dyn Method>,
    pub(crate) address_changes: BoxStream<'static, ()>,
    /// Limits of the tunnel.
    pub(crate) limits: Limits,
}

impl<K: Clusters> Preparing<K> {
    pub(crate) async fn run(self, context: &SessionContext) -> Event<K::Cluster> {
        context.publisher.enter(State::Preparing);
        match self.prepare(context).await {
            Ok(prepared) => Event::Prepared(prepared),
            Err(exit) => Event::NotPrepared(exit),
        }
    }

    async fn prepare(self, context: &SessionContext) -> Result<Prepared<K::Cluster>, Exit> {
        context.step("Looking for the cluster");
        let chosen = self.clusters.choose(&context.options);
        let target = context.unless_stopped(chosen).await?;
        let login = LoginWatch::start(K::login_problems(&target), context.publisher.problem_source());
        let place = K::place(&target);
        context.publisher.update(|status| {
            status.context = Some(place.context);
            status.namespace = Some(place.namespace);
        });
        context.step("Asking the API server");
        let reached = self.clusters.reach(target, &context.options);
        let (cluster, facts) = context.unless_stopped(reached).await?;
        // Check the laptop before anything is created in the cluster.
        let checked = async { self.method.check().await.map_err(SessionError::Method) };
        context.unless_stopped(checked).await?;
        let (tunnel, FromAgent { packets, farewells }) = Tunnel::client(self.limits);
        Ok(Prepared {
            link: Link {
                cluster: Arc::new(cluster),
                facts,
                tunnel,
                farewells,
                run: uuid::Uuid::new_v4().as_u64_pair().0,
                address_changes: self.address_changes,
                _login: login,
                unseen: Unseen::default(),
                losses: Losses::default(),
            },
            laptop: Laptop::Idle {
                method: self.method,
                packets,
            },
            wanted: WantedAgent::Kept,
        })
    }
}
