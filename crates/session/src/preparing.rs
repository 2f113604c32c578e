//! Preparing: the kubeconfig is read, the API server asked, its ranges and namespaces learned.

use std::sync::Arc;
use std::time::Duration;

use slipway_carrier::Ladder;
use slipway_cluster::kubeconfig::{Choice, Sources, Target, choose};
use slipway_cluster::list;
use slipway_cluster::ranges;
use slipway_control_api::State;
use slipway_names::Namespaces;
use slipway_tunnel::{Limits, Tunnel};
use slipway_vpn_tcp::VpnTcp;

use crate::carriers::Way;
use crate::context::{Context, Left};
use crate::error::SessionError;
use crate::holdings::{OwnWay, Prepared};
use crate::namespaces::known;

/// How long the laptop's resolver may take for the API server's own address. The API server itself was reached by then,
/// or is found not to be.
const OWN_WAY_WITHIN: Duration = Duration::from_secs(10);

pub(crate) async fn run(context: &Context) -> Result<Prepared, Left> {
    context.publisher.enter(State::Preparing);
    let profile = &context.options.profile;
    profile.method.ready().map_err(SessionError::from)?;

    context.step("Reading the kubeconfig");
    let file = profile
        .cluster
        .kubeconfig
        .as_ref()
        .map(|path| path.resolve(&context.options.home));
    let choice = Choice {
        context: profile.cluster.context.as_ref().map(ToString::to_string),
        namespace: profile.cluster.namespace.as_ref().map(ToString::to_string),
        terminal: context.options.terminal,
    };
    let target = choose(&Sources::from_environment(file), &choice)
        .await
        .map_err(SessionError::from)?;
    context.publisher.update(|status| {
        status.context = Some(target.context.clone());
        status.namespace = Some(target.namespace.clone());
    });

    context.step("Asking the API server");
    let client = target
        .client_by(slipway_carrier::client)
        .await
        .map_err(SessionError::from)?;
    let namespaces = [target.namespace.clone()];
    // Whoever may not list namespaces, or learn ranges, goes on without: names and addresses are learned as they are used.
    let rest = async {
        let rest = tokio::join!(
            ranges::learn(&client, &namespaces),
            list::namespaces(&client),
            own_way(&target),
        );
        Ok(rest)
    };
    // Where the API server does not answer, none of the rest is waited for.
    let (version, (ranges, listed, own_way)) =
        tokio::try_join!(target.probe(&client), rest).map_err(SessionError::from)?;
    tracing::info!(version = version.version, ?ranges, "the API server answers");
    // Before anything is made in the cluster.
    VpnTcp::check(&context.options.helper)
        .await
        .map_err(SessionError::from)?;
    let namespaces = listed.map_or(Namespaces::Unknown, |listed| {
        known(listed.iter().map(|namespace| namespace.name.as_str()))
    });

    let (tunnel, events) = Tunnel::client(Limits::default());
    let run = uuid::Uuid::new_v4().as_u64_pair().0;
    let way = Way {
        client,
        ladder: Arc::new(Ladder::new(None)),
        tunnel,
        run,
    };
    Ok(Prepared {
        target,
        way,
        events,
        ranges,
        namespaces,
        own_way,
    })
}

/// The API server and the proxy before it: its names, and the addresses that the connection really goes to.
async fn own_way(target: &Target) -> OwnWay {
    let host = |url: &http::Uri| {
        let host = url.host()?.trim_start_matches('[').trim_end_matches(']');
        Some(host.to_owned())
    };
    let server = host(&target.config.cluster_url);
    let proxy = target.config.proxy_url.as_ref().and_then(host);
    let names: Vec<String> = server.iter().chain(&proxy).cloned().collect();
    let Some(nearest) = proxy.or(server) else {
        return OwnWay::default();
    };
    let looked_up = tokio::net::lookup_host((nearest.as_str(), 443));
    let addresses = match tokio::time::timeout(OWN_WAY_WITHIN, looked_up).await {
        Ok(Ok(found)) => found.map(|address| address.ip()).collect(),
        Ok(Err(error)) => {
            tracing::debug!(%error, host = nearest, "the API server's own address is not known");
            Vec::new()
        }
        Err(_) => {
            tracing::debug!(host = nearest, "nobody answers for the API server's own address");
            Vec::new()
        }
    };
    OwnWay { names, addresses }
}
