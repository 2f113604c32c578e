//! Time after which a session ends by itself: the profile's `disconnect-after`, counted from the first connection.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use slipway_control::{ProblemSource, Publisher};
use slipway_control_api::Problem;
use slipway_problem::Fault;
use slipway_profile::DisconnectAfter;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::awake::since_boot;
use crate::context::SessionContext;
use crate::options::Options;

/// How long before its end the session announces it; at half of its time, if that is later.
const NOTICE: Duration = Duration::from_secs(300);

/// Interval at which the kernel's clock is read, which also counts while the laptop sleeps.
const LOOK_EVERY: Duration = Duration::from_secs(15);

/// Task that announces the end and causes it. Dropping this ends the task and withdraws the announcement.
pub(crate) struct TimeLimit {
    announced: Arc<ProblemSource>,
    task: AbortOnDropHandle<()>,
}

impl TimeLimit {
    /// Starts the task; `None` if the profile has no such time.
    pub(crate) fn start(context: &SessionContext) -> Option<Self> {
        let after = context.options.profile.disconnect_after?;
        let announced = Arc::new(context.publisher.problem_source());
        let follow = follow(
            after,
            context.publisher.clone(),
            announced.clone(),
            context.time_over.clone(),
        );
        Some(Self {
            announced,
            task: AbortOnDropHandle::new(tokio::spawn(follow)),
        })
    }
}

impl Drop for TimeLimit {
    fn drop(&mut self) {
        self.task.abort();
        self.announced.clear();
    }
}

async fn follow(
    after: DisconnectAfter,
    publisher: Publisher,
    announced: Arc<ProblemSource>,
    time_over: CancellationToken,
) {
    let clock = Clock::start();
    let whole = after.duration();
    publisher.update(|status| status.ends = Timestamp::now().checked_add(whole).ok());
    clock.wait_for(whole - NOTICE.min(whole / 2)).await;
    // From now on, because the wall clock may have been set meanwhile.
    let ends = Timestamp::now().checked_add(clock.left(whole)).ok();
    publisher.update(|status| status.ends = ends);
    announced.set([OutOfTime::Soon { ends, after }.problem()]);
    clock.wait_for(whole).await;
    tracing::info!(%after, "the time of the session is over");
    time_over.cancel();
}

/// Returns the reason for which a session ended after its time.
pub(crate) fn over(options: &Options) -> Problem {
    let problem = OutOfTime::Over {
        after: options.profile.disconnect_after,
    }
    .problem();
    match options.saved {
        true => options.profile.name.editable(problem),
        false => problem,
    }
}

/// Clock that runs while the session does, and also while the laptop sleeps.
struct Clock {
    began: Instant,
    /// The kernel's time at the beginning.
    since_boot: Duration,
}

impl Clock {
    fn start() -> Self {
        Self {
            began: Instant::now(),
            since_boot: since_boot(),
        }
    }

    /// Returns how much of a time is left.
    fn left(&self, whole: Duration) -> Duration {
        let by_kernel = since_boot().saturating_sub(self.since_boot);
        whole.saturating_sub(self.began.elapsed().max(by_kernel))
    }

    /// Waits until a time has passed.
    async fn wait_for(&self, whole: Duration) {
        loop {
            let left = self.left(whole);
            if left.is_zero() {
                return;
            }
            // A sleep of tokio stands still while the laptop sleeps.
            tokio::time::sleep(left.min(LOOK_EVERY)).await;
        }
    }
}

/// The end of a session's time.
#[derive(Debug, thiserror::Error)]
enum OutOfTime {
    #[error("the session ends {}, {after} after it connected", at(*ends))]
    Soon {
        ends: Option<Timestamp>,
        after: DisconnectAfter,
    },
    #[error("the session ended, because {} passed since it connected", time(*after))]
    Over { after: Option<DisconnectAfter> },
}

impl Fault for OutOfTime {
    fn code(&self) -> &str {
        match self {
            Self::Soon { .. } => "disconnects-soon",
            Self::Over { .. } => "disconnected-in-time",
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::Soon { .. } => {
                "To have the whole time again, disconnect and connect. `disconnect-after` in the profile, or \
                 `--disconnect-after`, says how long a session lasts."
            }
            Self::Over { .. } => {
                "Connect again. `disconnect-after` in the profile, or `--disconnect-after`, says how long a session lasts."
            }
        }
        .to_owned()
    }
}

/// Returns the time of day at which a session ends. It is in UTC, because this text also reaches programs; `ends` of the
/// status has it as data.
fn at(ends: Option<Timestamp>) -> String {
    let text = ends.map(|ends| ends.to_string());
    match text.as_deref().and_then(|text| text.get(11..16)) {
        Some(time) => format!("at {time} UTC"),
        None => "soon".to_owned(),
    }
}

fn time(after: Option<DisconnectAfter>) -> String {
    after.map_or_else(|| "its time".to_owned(), |after| after.to_string())
}
