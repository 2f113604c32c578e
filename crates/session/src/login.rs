//! Task that publishes the problems of the login while a session lives.

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use slipway_control::ProblemSource;
use slipway_control_api::Problem;
use tokio_util::task::AbortOnDropHandle;

/// The task. Dropping this ends it.
pub(crate) struct LoginWatch {
    _task: AbortOnDropHandle<()>,
}

impl LoginWatch {
    pub(crate) fn start(mut changes: BoxStream<'static, Vec<Problem>>, problems: ProblemSource) -> Self {
        let follow = async move {
            while let Some(now) = changes.next().await {
                problems.set(now);
            }
        };
        Self {
            _task: AbortOnDropHandle::new(tokio::spawn(follow)),
        }
    }
}
