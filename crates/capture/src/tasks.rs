//! The tasks of one capture: whoever may start one, all end together.

use std::future::Future;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Starts tasks on the runtime of the capture, also from threads outside it. A clone starts them for the same end.
#[derive(Debug, Clone)]
pub(crate) struct Tasks {
    runtime: Handle,
    running: TaskTracker,
    end: CancellationToken,
}

impl Tasks {
    /// Tasks of the current runtime.
    pub(crate) fn new() -> Self {
        Self {
            runtime: Handle::current(),
            running: TaskTracker::new(),
            end: CancellationToken::new(),
        }
    }

    /// Runs a task until it is done or all are ended.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        let end = self.end.clone();
        let task = async move {
            end.run_until_cancelled_owned(task).await;
        };
        self.running.spawn_on(task, &self.runtime)
    }

    /// Ends all tasks, soon.
    pub(crate) fn cancel(&self) {
        self.end.cancel();
        self.running.close();
    }

    /// Waits until the last task has ended, after [`Tasks::cancel`].
    pub(crate) async fn ended(&self) {
        self.running.wait().await;
    }
}
