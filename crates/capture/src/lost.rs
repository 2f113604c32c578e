//! Parts that a running capture can lose.

/// What a running capture can lose. It goes on with what is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// The private namespace's process ended: open connections live, but a port that was not used yet is refused.
    /// The owner should start another capture.
    Namespace,
    /// The TUN broke (its device was deleted) and was closed. [`Capture::replace_tun`](crate::Capture::replace_tun)
    /// attaches another one.
    Tun,
}
