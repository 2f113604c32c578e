//! Main loop of a session: runs one state after another.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use slipway_control::{Publisher, RuntimeFolder};
use slipway_control_api::{Problem, State as Name};
use slipway_laptop::Addresses;
use slipway_method::Method;
use slipway_problem::Fault;
use slipway_tunnel::{Limits, descriptors};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::cluster::Clusters;
use crate::cluster::kubernetes::Kubernetes;
use crate::context::SessionContext;
use crate::control_handler::ControlHandler;
use crate::elders::Elders;
use crate::ending;
use crate::exit::Exit;
use crate::options::Options;
use crate::preparing::Preparing;
use crate::states::{State, next};
use crate::time_limit;

/// Interval of the entries of the history.
const RECORD_EVERY: Duration = Duration::from_secs(1);

/// Runs a session from connect to clean-up, until [`ControlHandler::stop`] is cancelled or an error ends it.
///
/// State, progress and problems are published with `publisher`. Older sessions are looked up in `folder`. The process's
/// limit of descriptors is raised, because each connection of a program has one.
///
/// # Errors
///
/// Returns why the session ended without being asked to, and what the user can do. The laptop is restored then as well.
pub async fn run(
    options: Options,
    method: Box<dyn Method>,
    publisher: Publisher,
    handler: ControlHandler,
    folder: &RuntimeFolder,
) -> Result<(), Problem> {
    let begin = Preparing {
        clusters: Kubernetes,
        method,
        address_changes: address_changes(),
        limits: Limits::default().within(descriptors::raise_limit()),
    };
    let context = SessionContext {
        options,
        elders: Arc::new(Elders::watch(folder, publisher.status())),
        publisher,
        stop: handler.stop(),
        time_over: CancellationToken::new(),
        handler,
    };
    let _recording = AbortOnDropHandle::new(tokio::spawn(record(context.publisher.clone())));
    run_from(begin, &context).await
}

/// Notes every second in the history how the session is.
async fn record(publisher: Publisher) {
    let mut seconds = tokio::time::interval(RECORD_EVERY);
    // Nothing is measured while the laptop sleeps.
    seconds.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        seconds.tick().await;
        publisher.second();
    }
}

fn address_changes() -> BoxStream<'static, ()> {
    let changes = stream::unfold(Addresses::watch(), |mut addresses| async {
        addresses.changed().await;
        Some(((), addresses))
    });
    changes.boxed()
}

/// Runs a session from its first state on.
pub(crate) async fn run_from<K: Clusters>(
    begin: Preparing<K>,
    context: &SessionContext,
) -> Result<(), Problem> {
    let mut event = begin.run(context).await;
    let exit = loop {
        event = match next(event) {
            State::Placing(prepared) => prepared.run(context).await,
            State::Pausing(pausing) => pausing.run(context).await,
            State::Connecting(placed) => placed.run(context).await,
            State::Connected(live) => live.stay_connected(context).await,
            State::Reconnecting(live) => live.reconnect(context).await,
            State::Ending(undo, exit) => {
                if let Exit::Failed(error) = &exit {
                    tracing::error!(code = error.code(), %error, "session failed");
                }
                ending::run(undo, context).await;
                break exit;
            }
        }
    };
    let profile = &context.options.profile.name;
    let outcome = match exit {
        Exit::Stopped => Ok(()),
        Exit::TimeOver => Err(time_limit::over(&context.options)),
        Exit::Failed(error) => Err(error.problem_of(context.options.saved.then_some(profile))),
    };
    context.publisher.update(|status| {
        status.state = Name::Ended;
        status.step = None;
        status.failure = outcome.as_ref().err().cloned();
    });
    outcome
}
