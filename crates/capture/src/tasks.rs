//! Tasks of one capture, which end together.

use std::future::Future;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Starts tasks on the capture's runtime, also from threads outside it. Clones share the tasks.
#[derive(Debug, Clone)]
pub(crate) struct Tasks {
    runtime: Handle,
    running: TaskTracker,
    end: CancellationToken,
}

impl Tasks {
    /// An empty set of tasks on the current runtime.
    pub(crate) fn new() -> Self {
        Self {
            runtime: Handle::current(),
            running: TaskTracker::new(),
            end: CancellationToken::new(),
        }
    }

    /// Runs a task until it completes or all tasks are canceled.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        let end = self.end.clone();
        let task = async move {
            end.run_until_cancelled_owned(task).await;
        };
        self.running.spawn_on(task, &self.runtime)
    }

    /// Cancels all tasks, without waiting for their end.
    pub(crate) fn cancel(&self) {
        self.end.cancel();
        self.running.close();
    }

    /// Waits until the last task has ended, after [`Tasks::cancel`].
    pub(crate) async fn ended(&self) {
        self.running.wait().await;
    }
}
