//! What every state is given, and why the way from state to state is left.

use slipway_control::Publisher;
use tokio_util::sync::CancellationToken;

use crate::desk::Desk;
use crate::error::SessionError;
use crate::options::Options;

/// What every state is given.
pub(crate) struct Context {
    pub(crate) options: Options,
    pub(crate) publisher: Publisher,
    pub(crate) desk: Desk,
    pub(crate) stop: CancellationToken,
}

/// Why the way from state to state was left.
#[derive(Debug)]
pub(crate) enum Left {
    /// Somebody asked the session to end.
    Stopped,
    /// It cannot go on.
    Failed(SessionError),
}

impl<E: Into<SessionError>> From<E> for Left {
    fn from(error: E) -> Left {
        Left::Failed(error.into())
    }
}

impl Context {
    /// Says what is being done, to people and to the log.
    pub(crate) fn step(&self, text: &str) {
        tracing::info!("{text}");
        self.publisher
            .update(|status| status.step = Some(text.to_owned()));
    }
}
