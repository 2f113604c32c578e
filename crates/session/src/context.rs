//! Input that all states share.

use std::sync::Arc;

use slipway_control::Publisher;
use slipway_method::Elders;
use tokio_util::sync::CancellationToken;

use crate::control_handler::ControlHandler;
use crate::error::SessionError;
use crate::exit::Exit;
use crate::options::Options;

/// Options, outputs and stop signal of a session, as every state needs them.
pub(crate) struct SessionContext {
    pub(crate) options: Options,
    pub(crate) publisher: Publisher,
    pub(crate) handler: ControlHandler,
    pub(crate) stop: CancellationToken,
    /// Cancelled when the session has to end because its time is over.
    pub(crate) time_over: CancellationToken,
    pub(crate) elders: Arc<dyn Elders>,
}

impl SessionContext {
    /// Publishes and logs the current step.
    pub(crate) fn step(&self, text: &str) {
        tracing::info!("{text}");
        self.publisher
            .update(|status| status.step = Some(text.to_owned()));
    }

    /// Waits until the session has to end, although nothing failed.
    pub(crate) async fn has_to_end(&self) -> Exit {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Exit::Stopped,
            () = self.time_over.cancelled() => Exit::TimeOver,
        }
    }

    /// Waits for `work`. Returns the [`Exit`] at once when the session has to end.
    pub(crate) async fn unless_stopped<T, E: Into<SessionError>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Exit> {
        tokio::select! {
            biased;
            exit = self.has_to_end() => Err(exit),
            done = work => done.map_err(Exit::from),
        }
    }
}
