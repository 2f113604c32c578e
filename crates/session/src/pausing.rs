//! State pausing: waits before another attempt to replace a lost agent.
//!
//! A session whose programs are captured never gives up its agent: a drained node, a sleeping one, an API server that
//! restarts or a webhook that is down may take any time. Routes and names stay meanwhile, so nothing that belongs to
//! the cluster leaves by the laptop's own network.

use slipway_control_api::State;
use slipway_problem::Fault;

use crate::cluster::Cluster;
use crate::context::SessionContext;
use crate::retried;
use crate::states::{Event, Laptop, Pausing, Prepared};

impl<C: Cluster> Pausing<C> {
    pub(crate) async fn run(self, context: &SessionContext) -> Event<C> {
        let Self {
            link,
            mut captured,
            wanted,
            error,
        } = self;
        let profile = &context.options.profile.name;
        let problem = retried::problem(&error, context.options.saved.then_some(profile));
        tracing::warn!(code = error.code(), %error, "the agent cannot be replaced now");
        context.publisher.update(|status| {
            status.state = State::Placing;
            status.step = Some(format!("The agent cannot be replaced yet: {error}"));
        });
        let pause = captured.failures.add(problem, error.is_passing());
        let waited = async {
            tokio::time::sleep(pause).await;
            Ok(())
        };
        let waited = captured.meanwhile(context, waited).await;
        let prepared = Prepared {
            link,
            laptop: Laptop::Captured(captured),
            wanted,
        };
        match waited {
            Ok(()) => Event::Paused(prepared),
            Err(exit) => Event::NotPlaced(prepared, exit),
        }
    }
}
