//! Ending: the laptop becomes what it was. The agent stays for its grace time, for a session that comes back soon.

use crate::context::Context;
use crate::holdings::Holdings;
use std::time::Duration;

use slipway_control_api::State;

/// How long the laptop's side may take; after that it is dropped, which the kernel cleans up.
const LAPTOP: Duration = Duration::from_secs(5);

pub(crate) async fn run(context: &Context, holdings: Holdings) {
    context.publisher.enter(State::Ending);
    context.desk.set_explainer(None);
    if let Some(live) = holdings.live
        && tokio::time::timeout(LAPTOP, live.method.stop()).await.is_err()
    {
        tracing::warn!(?LAPTOP, "the laptop's side did not end in time and was dropped");
    }
}
