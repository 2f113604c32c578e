//! Reasons for a session to end.

use crate::error::SessionError;

/// Reason for which a session ends.
#[derive(Debug)]
pub(crate) enum Exit {
    /// A user or program asked it to end.
    Stopped,
    /// The time of the profile's `disconnect-after` is over.
    TimeOver,
    /// An error ended it.
    Failed(SessionError),
}

impl<E: Into<SessionError>> From<E> for Exit {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}
