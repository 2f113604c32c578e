//! Reasons for a session to end.

use crate::error::SessionError;

/// Why a session ends.
#[derive(Debug)]
pub(crate) enum Exit {
    /// It was asked to.
    Stopped,
    /// It cannot go on.
    Failed(SessionError),
}

impl<E: Into<SessionError>> From<E> for Exit {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}
