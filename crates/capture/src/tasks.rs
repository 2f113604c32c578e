//! The tasks of one capture: whoever may start one, all end together.

use std::future::Future;

use tokio::runtime::Handle;
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
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.spawn_until(self.end.clone(), task);
    }

    /// Runs a task until it is done, `end` comes, or all are ended. `end` is one of [`Tasks::child_end`].
    pub(crate) fn spawn_until(
        &self,
        end: CancellationToken,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let task = async move {
            end.run_until_cancelled_owned(task).await;
        };
        self.running.spawn_on(task, &self.runtime);
    }

    /// An end for some of the tasks, which also comes with the end of all.
    pub(crate) fn child_end(&self) -> CancellationToken {
        self.end.child_token()
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
