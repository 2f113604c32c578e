//! The states in their order.

use slipway_control::Publisher;
use slipway_control_api::{Problem, State};
use slipway_problem::Fault;

use crate::connected::{self, Change};
use crate::connecting;
use crate::context::{Context, Left};
use crate::desk::Desk;
use crate::ending;
use crate::holdings::Holdings;
use crate::options::Options;
use crate::placing;
use crate::preparing;
use crate::reconnecting;

/// Runs a session from connect to clean-up: until [`Desk::stop`] is cancelled, or it cannot go on.
///
/// Progress, state and what is wrong go to `publisher`.
///
/// # Errors
///
/// When it did not end because somebody asked it to: why, and what the user can do. Nothing on the laptop is left then
/// either.
pub async fn run(options: Options, publisher: Publisher, desk: Desk) -> Result<(), Problem> {
    let context = Context {
        options,
        publisher,
        stop: desk.stop(),
        desk,
    };
    let mut holdings = Holdings::default();
    let left = go(&context, &mut holdings).await;
    let outcome = match left {
        Left::Stopped => Ok(()),
        Left::Failed(error) => Err(error),
    };
    if let Err(error) = &outcome {
        tracing::error!(code = error.code(), %error, "the session ends");
        if holdings.live.is_none() {
            placing::withdraw(&context, &holdings).await;
        }
    }
    ending::run(&context, holdings).await;
    let profile = &context.options.profile.name;
    let outcome = outcome.map_err(|error| error.problem_of(context.options.saved.then_some(profile)));
    context.publisher.update(|status| {
        status.state = State::Ended;
        status.step = None;
        status.failure = outcome.as_ref().err().cloned();
    });
    outcome
}

async fn go(context: &Context, holdings: &mut Holdings) -> Left {
    let way = async {
        holdings.prepared = Some(preparing::run(context).await?);
        placing::run(context, holdings).await?;
        connecting::run(context, holdings).await?;
        loop {
            let change = match connected::run(context, holdings).await? {
                Change::NoCarrier => reconnecting::run(context, holdings).await?,
                change @ (Change::Back | Change::AgentLost) => change,
            };
            match change {
                Change::NoCarrier | Change::Back => {}
                Change::AgentLost => {
                    connected::lose_agent(holdings).await;
                    placing::run(context, holdings).await?;
                    connecting::run(context, holdings).await?;
                }
            }
        }
    };
    let outcome: Result<std::convert::Infallible, Left> = tokio::select! {
        biased;
        () = context.stop.cancelled() => Err(Left::Stopped),
        outcome = way => outcome,
    };
    match outcome {
        Err(left) => left,
    }
}
