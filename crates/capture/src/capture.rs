//! One capture, from start to stop.

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use crate::{CaptureError, Echo, FarEnd, Flow, Resolver};

/// A running capture. Dropping it ends its threads, tasks and child process; [`Capture::stop`] waits for that.
#[derive(Debug)]
pub struct Capture {
    replies: Replies,
}

/// What a running capture can lose. It goes on with what is left, but its owner should start anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// The private namespace's process ended: open connections live, ports not used yet cannot be served.
    Namespace,
    /// The TUN broke (its device was deleted). [`Capture::replace_tun`] cures it.
    Tun,
}

impl Capture {
    /// How long a program's `connect()` waits for [`FarEnd::open`].
    pub const OPEN_LIMIT: Duration = Duration::from_secs(60);
    /// How long a program's query waits for [`Resolver::answer`].
    pub const ANSWER_LIMIT: Duration = Duration::from_secs(5);
    /// How long a flow of datagrams is remembered without one, in either direction.
    pub const DATAGRAM_IDLE: Duration = Duration::from_secs(120);

    /// Starts capturing what arrives on `tun`; programs reach the resolver at `resolver_addresses`, port 53.
    ///
    /// `tun` is an `IFF_TUN | IFF_NO_PI` device, best with an MTU of 65535, into which somebody routed what is to
    /// be captured: routes may come and go while this runs. Call it within a Tokio runtime with I/O and time.
    ///
    /// # Errors
    /// See [`CaptureError`]. Nothing is left behind.
    #[expect(clippy::unused_async, reason = "the child's answer is waited for")]
    pub async fn start<F: FarEnd, R: Resolver>(
        tun: OwnedFd,
        resolver_addresses: &[IpAddr],
        far: F,
        resolver: R,
    ) -> Result<Self, CaptureError> {
        let _ = (tun, resolver_addresses, far, resolver);
        Err(CaptureError::ChildNotStarted { source: io::ErrorKind::Unsupported.into() })
    }

    /// Where answers of the far end that are packets go in.
    pub fn replies(&self) -> Replies {
        self.replies.clone()
    }

    /// Closes the TUN (it is closed when this returns) and goes on with another, or waits for one if `None`.
    ///
    /// Connections live on as long as the next TUN comes with the same addresses before TCP gives up.
    ///
    /// # Errors
    /// [`CaptureError::Tun`] when the new TUN cannot be used: none is attached then.
    pub fn replace_tun(&self, tun: Option<OwnedFd>) -> Result<(), CaptureError> {
        let _ = tun;
        Ok(())
    }

    /// Waits until the capture loses something it cannot bring back by itself.
    pub async fn lost(&self) -> Lost {
        std::future::pending().await
    }

    /// Ends the capture: when this returns, its threads, tasks and child process are gone and its TUN is closed.
    #[expect(clippy::unused_async, reason = "threads and the child are waited for")]
    pub async fn stop(self) {}
}

/// Takes what the far end answers with packets, and writes it to the program. A clone does the same.
///
/// It outlives its [`Capture`] harmlessly: what is handed in after the end is dropped.
#[derive(Debug, Clone)]
pub struct Replies {}

impl Replies {
    /// A datagram came back on a flow. Dropped if the flow is over.
    pub fn datagram(&self, flow: Flow, payload: &[u8]) {
        let _ = (flow, payload);
    }

    /// Nobody takes datagrams at the flow's far end: the program gets `ECONNREFUSED`.
    pub fn unreachable(&self, flow: Flow) {
        let _ = flow;
    }

    /// The reply to an echo: the request as [`FarEnd::echo`] got it.
    pub fn echo(&self, request: &Echo) {
        let _ = request;
    }
}
