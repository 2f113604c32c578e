//! Placing: the agent that the last session of this profile left is found, or a new one is put into the cluster.

use std::time::Duration;

use slipway_agent_binary::AGENT;
use slipway_cluster::api::{Access, ApiError};
use slipway_cluster::keys::{Kept, KeyStore, SessionKey, Slot};
use slipway_cluster::permissions;
use slipway_cluster::placement::{self, Agent, DEFAULT_IMAGE, PlaceError, Placement, Progress};
use slipway_control_api::{AgentInfo, State};
use slipway_names::Namespaces;
use slipway_tunnel::Key;
use tokio::time::timeout;
use uuid::Uuid;

use crate::context::{Context, Left};
use crate::error::SessionError;
use crate::holdings::{Holdings, Placed, Prepared};

/// How long the removal of an agent may take that never served.
const REMOVAL: Duration = Duration::from_secs(5);

/// How long an agent waits for a client that went away, where the profile does not say.
const DEFAULT_GRACE: Duration = Duration::from_secs(90);

pub(crate) async fn run(context: &Context, holdings: &mut Holdings) -> Result<(), Left> {
    let Some(prepared) = &holdings.prepared else {
        return Ok(());
    };
    context.publisher.enter(State::Placing);
    let store = KeyStore::of_user().map_err(SessionError::from)?;
    let profile = agent_identity(context);
    let slot = Slot {
        server: &prepared.target.server,
        namespace: &prepared.target.namespace,
        profile: &profile,
    };
    // Without the previous agent: it was found once and turned out to be gone or not ours.
    let lost = holdings.placed.take().is_some();
    let placed = match kept(&store, &slot, prepared).await? {
        Some(placed) if !lost => placed,
        Some(_) | None => place(context, prepared, &store, &slot).await?,
    };
    context.publisher.update(|status| {
        let Agent { pod, node, .. } = placed.agent.clone();
        status.agent = Some(AgentInfo { pod, node });
    });
    holdings.placed = Some(placed);
    Ok(())
}

async fn kept(store: &KeyStore, slot: &Slot<'_>, prepared: &Prepared) -> Result<Option<Placed>, Left> {
    let Some(kept) = store.load(slot).map_err(SessionError::from)? else {
        return Ok(None);
    };
    let found = match placement::find(&prepared.way.client, slot.namespace, kept.session).await {
        Ok(found) => found,
        Err(ApiError::Forbidden { access, .. }) => return Err(forbidden(access, slot.namespace).into()),
        Err(error) => return Err(SessionError::from(error).into()),
    };
    Ok(found.map(|agent| {
        tracing::info!(pod = agent.pod, "the agent of the last session still runs");
        Placed {
            agent,
            key: Key::from_bytes(*kept.key.as_bytes()),
            found: true,
        }
    }))
}

async fn place(
    context: &Context,
    prepared: &Prepared,
    store: &KeyStore,
    slot: &Slot<'_>,
) -> Result<Placed, Left> {
    check_beforehand(prepared).await?;
    context.step("Starting the agent");
    let session = Uuid::new_v4();
    let key = SessionKey::generate().map_err(SessionError::from)?;
    let placement = Placement {
        namespace: slot.namespace.to_owned(),
        session,
        image: image(context),
        pull_secrets: Vec::new(),
        grace: grace(context),
        key: key.clone(),
        binary: AGENT,
    };
    // Before the pod: were we killed in between, the next session would still know whose it is.
    store
        .save(
            slot,
            &Kept {
                session,
                key: key.clone(),
            },
        )
        .map_err(SessionError::from)?;
    let progress = |progress: Progress| match progress {
        // Said above already, before the permissions were asked.
        Progress::Creating => {}
        Progress::WaitingForPod { reason } => {
            context.step(&format!("Waiting for the agent's pod ({reason})"))
        }
        Progress::Uploading { sent, total } => {
            context.publisher.update(|status| {
                status.step = Some(format!("Sending the agent ({} %)", sent * 100 / total.max(1)));
            });
        }
        Progress::Started => {}
    };
    let agent = placement::place(&prepared.way.client, &placement, &progress)
        .await
        .map_err(|error| {
            if let Err(error) = store.forget(slot) {
                tracing::debug!(%error, "the key of an agent that was not placed is left");
            }
            SessionError::from(error)
        })?;
    Ok(Placed {
        agent,
        key: Key::from_bytes(*key.as_bytes()),
        found: false,
    })
}

/// Finds out before anything is created that there is no such namespace, or what the user may not do in it. A cluster
/// that cannot say it lets us try.
async fn check_beforehand(prepared: &Prepared) -> Result<(), SessionError> {
    let namespace = &prepared.target.namespace;
    if let Namespaces::Known(known) = &prepared.namespaces
        && !known.contains(namespace.as_bytes())
    {
        return Err(PlaceError::NamespaceMissing {
            namespace: namespace.clone(),
        }
        .into());
    }
    match permissions::in_the_way(&prepared.way.client, namespace).await {
        Ok(None) => Ok(()),
        Ok(Some(access)) => Err(forbidden(access, namespace)),
        Err(error) => {
            tracing::debug!(%error, "permissions are not known beforehand");
            Ok(())
        }
    }
}

fn forbidden(access: Access, namespace: &str) -> SessionError {
    let role = permissions::role_yaml(namespace);
    PlaceError::Forbidden { access, role }.into()
}

/// Takes back an agent that this session placed and that never served it. What cannot be removed ends by itself, after
/// its grace time.
pub(crate) async fn withdraw(context: &Context, holdings: &Holdings) {
    let (Some(prepared), Some(placed)) = (&holdings.prepared, &holdings.placed) else {
        return;
    };
    if placed.found {
        return;
    }
    match timeout(REMOVAL, placement::remove(&prepared.way.client, &placed.agent)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return tracing::warn!(%error, "the agent stays until its grace time is over"),
        Err(_elapsed) => return tracing::warn!(?REMOVAL, "the agent could not be removed in time"),
    }
    let profile = agent_identity(context);
    let slot = Slot {
        server: &prepared.target.server,
        namespace: &prepared.target.namespace,
        profile: &profile,
    };
    if let Err(error) = KeyStore::of_user().and_then(|store| store.forget(&slot)) {
        tracing::debug!(%error, "the key of an agent that was removed is left");
    }
}

/// Under what name the agent and its key are kept for the next session: one that wants another image or grace time wants
/// another agent.
fn agent_identity(context: &Context) -> String {
    let profile = &context.options.profile;
    let whose = if context.options.saved {
        format!("profile/{}", profile.name)
    } else {
        "unsaved".to_owned()
    };
    format!(
        "{whose} image={} grace={}",
        image(context),
        grace(context).as_secs()
    )
}

fn image(context: &Context) -> String {
    let image = context.options.profile.agent.image.as_ref();
    image.map_or_else(|| DEFAULT_IMAGE.to_owned(), ToString::to_string)
}

fn grace(context: &Context) -> Duration {
    context
        .options
        .profile
        .agent
        .grace
        .map_or(DEFAULT_GRACE, |grace| grace.duration())
}
