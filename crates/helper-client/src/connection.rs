//! Connection to the helper: one request, one reply.

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

/// How long the helper may take for its answer to anything but [`Request::Up`].
pub(crate) const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// How long it may take for that one: polkit may be asking the user for a password.
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

    /// One request, one reply. After an error other than a refusal, or when dropped half-way, the next answer would be to
    /// the wrong question, so the stream is shut.
    pub(crate) async fn ask(&mut self, request: &Request, wait: Duration) -> Result<Reply, ClientError> {
        let frame = encode(request)?;
        let mut unanswered = Unanswered {
            stream: Some(&self.stream),
        };
        let (decoder, fds) = (&mut self.decoder, &mut self.fds);
        let exchange = async {
            fds.clear();
            let sent = rights::send(&self.stream, &frame, &[]).await;
            // A helper that has no room says so and hangs up, without waiting to be spoken to.
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

    /// Between requests the helper says nothing, so whatever makes the stream readable is its end.
    pub(crate) async fn closed(&self) {
        let peek = || {
            let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
            Ok(recv(self.stream.as_raw_fd(), &mut [0], flags)?)
        };
        let _end: io::Result<usize> = self.stream.async_io(Interest::READABLE, peek).await;
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

/// Shuts the stream unless the answer came.
struct Unanswered<'a> {
    stream: Option<&'a UnixStream>,
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if let Some(stream) = self.stream {
            // A stream that cannot be shut is shut already.
            let _ = shutdown(stream.as_raw_fd(), Shutdown::Both);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use slipway_helper_api::{Build, HelperRefusal, Route, RouteOrigin, Tally, Version, Welcome};
    use tokio::time::Instant;

    use super::*;
    use crate::{Client, Plan, UpError};

    const SOON: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn an_abandoned_question_ends_the_connection() {
        let (ours, helper) = UnixStream::pair().expect("pair");
        let mut connection = Connection::new(ours);
        let abandoned = timeout(Duration::from_millis(10), connection.ask(&Request::Down, SOON)).await;
        assert!(abandoned.is_err(), "nobody answers");
        let late = encode(&Reply::Down(Tally { routes: 1 })).expect("fits");
        let _ = rights::send(&helper, &late, &[]).await;
        let next = connection.ask(&Request::Status, SOON).await;
        assert!(
            matches!(next, Err(ClientError::Gone(_))),
            "no answer to another question: {next:?}"
        );
    }

    #[tokio::test]
    async fn the_helpers_end_is_noticed_and_nothing_else() {
        let (ours, helper) = UnixStream::pair().expect("pair");
        let connection = Connection::new(ours);
        assert!(
            timeout(Duration::from_millis(50), connection.closed())
                .await
                .is_err(),
            "it is there"
        );
        drop(helper);
        timeout(SOON, connection.closed()).await.expect("it is gone");
    }

    #[tokio::test]
    async fn a_helper_that_hangs_up_with_a_word_is_heard() {
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
    async fn descriptors_ride_with_the_reply_that_names_them() {
        let (ours, helper) = UnixStream::pair().expect("pair");
        let mut connection = Connection::new(ours);
        let reply = encode(&Reply::Updated(None)).expect("fits");
        let ride = [helper.as_fd(), helper.as_fd(), helper.as_fd()];
        rights::send(&helper, &reply, &ride).await.expect("sent");
        connection.ask(&Request::Status, SOON).await.expect("a reply");
        assert_eq!((connection.take_fds().len(), connection.take_fds().len()), (3, 0));
        let crowd = [helper.as_fd(); rights::MAX_FDS + 1];
        assert!(rights::send(&helper, &reply, &crowd).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_helper_that_accepts_and_says_nothing_is_given_up() {
        let (ours, _helper) = UnixStream::pair().expect("pair");
        let began = Instant::now();
        let greeted = Client::greet(ours, Version::OURS).await;
        assert!(matches!(greeted, Err(ClientError::Silent)), "{greeted:?}");
        assert_eq!(began.elapsed().as_secs(), ANSWER_WAIT.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_helper_that_says_nothing_to_the_plan_is_waited_for_as_long_as_its_user_may_take() {
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
