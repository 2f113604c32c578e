//! Connection to the helper: sends one request at a time and reads its reply.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::Duration;

use nix::sys::socket::{MsgFlags, Shutdown, recv, shutdown};
use slipway_helper_api::frame::{Decoder, encode};
use slipway_helper_api::{Reply, Request, Status, rights};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::error::ClientError;

/// Time limit for the reply to any request except [`Request::Up`].
pub(crate) const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// Time limit for the reply to [`Request::Up`], during which polkit may ask the user for a password.
pub(crate) const UP_WAIT: Duration = Duration::from_secs(130);

#[derive(Debug)]
pub(crate) struct Connection {
    stream: UnixStream,
    decoder: Decoder,
    fds: Vec<OwnedFd>,
}

impl Connection {
    pub(crate) fn new(stream: UnixStream) -> Self {
        Self {
            stream,
            decoder: Decoder::default(),
            fds: Vec::new(),
        }
    }

    /// Sends a request and returns its reply.
    ///
    /// After an error other than a refusal, or if this future is dropped before the reply, the stream is shut down:
    /// otherwise the next request would get the reply to this one.
    pub(crate) async fn ask(&mut self, request: &Request, wait: Duration) -> Result<Reply, ClientError> {
        let frame = encode(request)?;
        let mut unanswered = Unanswered {
            stream: Some(&self.stream),
        };
        let (decoder, fds) = (&mut self.decoder, &mut self.fds);
        let exchange = async {
            fds.clear();
            let sent = rights::send(&self.stream, &frame, &[]).await;
            // A busy helper refuses and closes before it reads a request, so read its reply even if sending failed.
            match (sent, read_reply(&self.stream, decoder, fds).await) {
                (Err(error), Err(_)) => Err(ClientError::Gone(error)),
                (Ok(()) | Err(_), reply) => reply,
            }
        };
        let reply = timeout(wait, exchange).await.map_err(|_| ClientError::Silent)??;
        unanswered.stream = None;
        match reply {
            Reply::Refused(refusal) => Err(ClientError::Refused(refusal)),
            Reply::Welcome(_) | Reply::Up(_) | Reply::Updated(_) | Reply::Down(_) | Reply::Status(_) => {
                Ok(reply)
            }
        }
    }

    pub(crate) async fn status(&mut self) -> Result<Status, ClientError> {
        match self.ask(&Request::Status, ANSWER_WAIT).await? {
            Reply::Status(status) => Ok(status),
            Reply::Welcome(_) | Reply::Up(_) | Reply::Updated(_) | Reply::Down(_) | Reply::Refused(_) => {
                Err(ClientError::Unexpected)
            }
        }
    }

    pub(crate) fn take_fds(&mut self) -> Vec<OwnedFd> {
        std::mem::take(&mut self.fds)
    }

    /// Waits until the helper closes the connection. It sends nothing between requests, so readable means closed.
    pub(crate) async fn closed(&self) {
        let peek = || {
            let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
            Ok(recv(self.stream.as_raw_fd(), &mut [0], flags)?)
        };
        let _: io::Result<usize> = self.stream.async_io(Interest::READABLE, peek).await;
    }
}

async fn read_reply(
    stream: &UnixStream,
    decoder: &mut Decoder,
    fds: &mut Vec<OwnedFd>,
) -> Result<Reply, ClientError> {
    let mut bytes = [0; 8 * 1024];
    loop {
        if let Some(reply) = decoder.message()? {
            return Ok(reply);
        }
        let read = rights::receive(stream, &mut bytes, fds)
            .await
            .map_err(ClientError::Gone)?;
        if read == 0 {
            return Err(ClientError::Gone(io::ErrorKind::UnexpectedEof.into()));
        }
        decoder.push(bytes.get(..read).unwrap_or_default());
    }
}

/// Guard that shuts the stream down unless the reply came.
struct Unanswered<'a> {
    stream: Option<&'a UnixStream>,
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if let Some(stream) = self.stream {
            // Fails only if the stream is already shut down.
            let _ = shutdown(stream.as_raw_fd(), Shutdown::Both);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use slipway_helper_api::{Build, HelperRefusal, Route, RouteOrigin, Tally, Updated, Version, Welcome};
    use tokio::time::Instant;

    use super::*;
    use crate::{Client, Plan, UpError};

    const SOON: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn an_abandoned_request_ends_the_connection() {
        let (ours, helper) = UnixStream::pair().expect("pair");
        let mut connection = Connection::new(ours);
        let abandoned = timeout(Duration::from_millis(10), connection.ask(&Request::Down, SOON)).await;
        assert!(abandoned.is_err(), "there is no reply");
        let late = encode(&Reply::Down(Tally { routes: 1 })).expect("fits");
        let _ = rights::send(&helper, &late, &[]).await;
        let next = connection.ask(&Request::Status, SOON).await;
        assert!(
            matches!(next, Err(ClientError::Gone(_))),
            "no reply to another request: {next:?}"
        );
    }

    #[tokio::test]
    async fn only_the_helpers_end_resolves_closed() {
        let (ours, helper) = UnixStream::pair().expect("pair");
        let connection = Connection::new(ours);
        assert!(
            timeout(Duration::from_millis(50), connection.closed())
                .await
                .is_err(),
            "the helper is there"
        );
        drop(helper);
        timeout(SOON, connection.closed())
            .await
            .expect("the helper is gone");
    }

    #[tokio::test]
    async fn the_last_reply_is_read_before_the_streams_end() {
        let (ours, helper) = UnixStream::pair().expect("pair");
        let busy = encode(&Reply::Refused(HelperRefusal::Busy)).expect("fits");
        rights::send(&helper, &busy, &[]).await.expect("sent");
        drop(helper);
        let refused = Connection::new(ours).ask(&Request::Status, SOON).await;
        assert!(
            matches!(refused, Err(ClientError::Refused(HelperRefusal::Busy))),
            "{refused:?}"
        );
    }

    #[tokio::test]
    async fn descriptors_arrive_with_their_reply() {
        let (ours, helper) = UnixStream::pair().expect("pair");
        let mut connection = Connection::new(ours);
        let reply = encode(&Reply::Updated(Updated::default())).expect("fits");
        let three = [helper.as_fd(), helper.as_fd(), helper.as_fd()];
        rights::send(&helper, &reply, &three).await.expect("sent");
        connection.ask(&Request::Status, SOON).await.expect("a reply");
        assert_eq!((connection.take_fds().len(), connection.take_fds().len()), (3, 0));
        let too_many = [helper.as_fd(); rights::MAX_FDS + 1];
        assert!(rights::send(&helper, &reply, &too_many).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_helper_is_an_error_after_the_answer_wait() {
        let (ours, _helper) = UnixStream::pair().expect("pair");
        let began = Instant::now();
        let greeted = Client::greet(ours, Version::OURS).await;
        assert!(matches!(greeted, Err(ClientError::Silent)), "{greeted:?}");
        assert_eq!(began.elapsed().as_secs(), ANSWER_WAIT.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_plan_waits_as_long_as_polkit_may_ask() {
        let (ours, helper) = UnixStream::pair().expect("pair");
        let welcome = Reply::Welcome(Welcome {
            version: Version::OURS,
            build: Build::ours(),
        });
        rights::send(&helper, &encode(&welcome).expect("fits"), &[])
            .await
            .expect("sent");
        let client = Client::greet(ours, Version::OURS).await.expect("greeted");
        let route = Route::new("10.96.0.0/16".parse().expect("range"), RouteOrigin::Declared);
        let plan = Plan::new([route], None).expect("plan");
        let began = Instant::now();
        let granted = client.up(&plan, None).await;
        assert!(
            matches!(granted, Err(UpError::Lost(ClientError::Silent))),
            "{granted:?}"
        );
        assert_eq!(began.elapsed().as_secs(), UP_WAIT.as_secs());
    }
}
