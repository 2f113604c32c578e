//! Client: the end of a control socket that asks.

use std::fs;
use std::io;
use std::time::Duration;

use futures_util::future::join_all;
use slipway_control_api::{
    Explanation, Greeting, NameEvent, PROTOCOL_VERSION, Reply, Request, SessionId, SessionStatus,
    Subscription,
};
use tokio::net::UnixStream;
use tokio::time::{Instant, timeout, timeout_at};

use crate::error::Error;
use crate::folder::RuntimeFolder;
use crate::wire::{BadLine, Lines};

/// How long a session may take to greet and to answer what it knows by heart.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);
/// How long a session may take to explain a name. More than the session gives itself, so that its own words
/// arrive.
const EXPLAIN_LIMIT: Duration = Duration::from_secs(20);
/// How long a session may take to be gone after it was asked to end: longer than its own clean-up in the
/// cluster.
pub const DISCONNECT_LIMIT: Duration = Duration::from_secs(30);

/// A connection to one session.
pub struct Client {
    id: SessionId,
    lines: Lines,
}

/// What a session tells, as it happens.
pub struct Watch {
    client: Client,
    /// The status at the beginning, not given out yet.
    present: Option<Box<SessionStatus>>,
}

/// An event of a [`Watch`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchEvent {
    /// The session's status, now or after a change.
    Status(Box<SessionStatus>),
    /// A name was asked for.
    Name(Box<NameEvent>),
    /// So many names were left out.
    Missed(u64),
}

/// Every session that runs, oldest first. All are asked at once; one that does not answer within a second is
/// left out, with a warning in the log. Sockets that nobody serves any more are removed.
///
/// # Errors
/// [`Error::Io`] if the folder cannot be read.
pub async fn sessions(folder: &RuntimeFolder) -> Result<Vec<SessionStatus>, Error> {
    let ask = |id: SessionId| async move {
        let status = async { Client::connect(folder, &id).await?.status().await }.await;
        match status {
            Ok(status) => Some(status),
            Err(Error::NoSession(_)) => None,
            Err(error) => {
                tracing::warn!(%id, %error, "a session does not answer");
                None
            }
        }
    };
    let answers = join_all(folder.ids()?.into_iter().map(ask)).await;
    let mut sessions: Vec<_> = answers.into_iter().flatten().collect();
    sessions.sort_by_key(SessionStatus::age_order);
    Ok(sessions)
}

impl Client {
    /// Connects to the session `id`. A socket that nobody serves is removed.
    ///
    /// # Errors
    /// [`Error::NoSession`] if there is none, [`Error::Version`] if it speaks differently,
    /// [`Error::TimedOut`] if it does not greet, [`Error::Io`] otherwise.
    pub async fn connect(folder: &RuntimeFolder, id: &SessionId) -> Result<Self, Error> {
        let path = folder.socket(id);
        let deadline = Instant::now() + ANSWER_LIMIT;
        let timed_out = |_| timed_out(id, "greet", ANSWER_LIMIT);
        let stream = match timeout_at(deadline, UnixStream::connect(&path))
            .await
            .map_err(timed_out)?
        {
            Ok(stream) => stream,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::NoSession(id.clone()));
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                // A session's socket listens before it has its name, and no name is used twice: this one is
                // dead.
                let _ = fs::remove_file(&path);
                return Err(Error::NoSession(id.clone()));
            }
            Err(source) => {
                return Err(Error::Io {
                    action: "reached",
                    path,
                    source,
                });
            }
        };
        let mut client = Self {
            id: id.clone(),
            lines: Lines::new(stream),
        };
        let greeting: Greeting = timeout_at(deadline, client.read()).await.map_err(timed_out)??;
        if greeting.slipway_control != PROTOCOL_VERSION {
            return Err(Error::Version {
                id: id.clone(),
                found: greeting.slipway_control,
            });
        }
        Ok(client)
    }

    /// The session's status.
    ///
    /// # Errors
    /// See [`Error`]; within a second.
    pub async fn status(&mut self) -> Result<SessionStatus, Error> {
        let reply = self
            .ask(&Request::Status, "tell its status", ANSWER_LIMIT)
            .await?;
        let Reply::Status(status) = reply else {
            return Err(self.unexpected(&reply));
        };
        Ok(*status)
    }

    /// Why `name` answers as it does.
    ///
    /// # Errors
    /// [`Error::Refused`] if the session cannot tell; see [`Error`] for the rest.
    pub async fn explain(&mut self, name: &str) -> Result<Explanation, Error> {
        let request = Request::Explain {
            name: name.to_owned(),
        };
        let reply = self.ask(&request, "explain the name", EXPLAIN_LIMIT).await?;
        let Reply::Explanation(explanation) = reply else {
            return Err(self.unexpected(&reply));
        };
        Ok(explanation)
    }

    /// The session's answer to a DNS question; `None` where its cluster has not got the name.
    ///
    /// # Errors
    /// See [`Error`]; within a second.
    pub async fn answer(&mut self, query: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let request = Request::Answer {
            query: hex::encode(query),
        };
        let reply = self.ask(&request, "answer for a name", ANSWER_LIMIT).await?;
        let Reply::Answer(answer) = reply else {
            return Err(self.unexpected(&reply));
        };
        Ok(answer.and_then(|answer| hex::decode(answer).ok()))
    }

    /// Asks the session to end, without waiting for it.
    ///
    /// # Errors
    /// See [`Error`]; within a second.
    pub async fn request_disconnect(&mut self) -> Result<(), Error> {
        let reply = self
            .ask(&Request::Disconnect, "take the disconnect", ANSWER_LIMIT)
            .await?;
        let Reply::Done = reply else {
            return Err(self.unexpected(&reply));
        };
        Ok(())
    }

    /// Asks the session to end, and waits until it is gone. Returns the last it said; nothing if it died
    /// before that.
    ///
    /// # Errors
    /// [`Error::TimedOut`] if it is still there after [`DISCONNECT_LIMIT`]; see [`Error`] for the rest.
    pub async fn disconnect(mut self) -> Result<Option<SessionStatus>, Error> {
        let id = self.id.clone();
        let ended = async {
            // Both at once: the session may be gone before it could read a second request.
            let requests = [Request::Disconnect, Request::Watch(Subscription::default())];
            self.lines
                .write_all(&requests)
                .await
                .map_err(|source| self.gone(source))?;
            match self.read().await? {
                Reply::Done => {}
                Reply::Error(problem) => return Err(Error::Refused(problem)),
                other @ (Reply::Status(_)
                | Reply::Name(_)
                | Reply::Missed(_)
                | Reply::Explanation(_)
                | Reply::Answer(_)
                | Reply::Log(_)) => return Err(self.unexpected(&other)),
            }
            let mut watch = Watch {
                client: self,
                present: None,
            };
            let mut last = None;
            while let Some(event) = watch.next().await? {
                if let WatchEvent::Status(status) = event {
                    last = Some(*status);
                }
            }
            Ok(last)
        };
        timeout(DISCONNECT_LIMIT, ended)
            .await
            .map_err(|_| timed_out(&id, "end", DISCONNECT_LIMIT))?
    }

    /// What the session tells from now on, its present status first.
    ///
    /// # Errors
    /// [`Error::TimedOut`] if it does not tell that one within a second; [`Error::Io`] if the socket is gone.
    pub async fn watch(mut self, subscription: Subscription) -> Result<Watch, Error> {
        let request = Request::Watch(subscription);
        let reply = self.ask(&request, "tell its status", ANSWER_LIMIT).await?;
        let Reply::Status(present) = reply else {
            return Err(self.unexpected(&reply));
        };
        Ok(Watch {
            client: self,
            present: Some(present),
        })
    }

    /// The names that programs asked for lately, or only those that had no answer; with `follow`, also those to come.
    /// `each` is called for every name, and with how many were left out because the session was read too slowly.
    ///
    /// # Errors
    /// See [`Error`]. The session's end is none.
    pub async fn names(
        mut self,
        failed: bool,
        follow: bool,
        mut each: impl FnMut(Result<NameEvent, u64>),
    ) -> Result<(), Error> {
        self.send(&Request::Names { failed, follow }).await?;
        while let Some(reply) = self.next_reply(follow, "tell its names").await? {
            match reply {
                Reply::Name(event) => each(Ok(*event)),
                Reply::Missed(count) => each(Err(count)),
                Reply::Done => break,
                Reply::Error(problem) => return Err(Error::Refused(problem)),
                Reply::Status(_) | Reply::Log(_) | Reply::Explanation(_) | Reply::Answer(_) => {
                    return Err(self.unexpected(&reply));
                }
            }
        }
        Ok(())
    }

    /// The lines of the session's log; with `follow`, also those to come. `each` is called for every line.
    ///
    /// # Errors
    /// See [`Error`]. The session's end is none.
    pub async fn logs(mut self, follow: bool, mut each: impl FnMut(&str)) -> Result<(), Error> {
        self.send(&Request::Logs { follow }).await?;
        while let Some(reply) = self.next_reply(follow, "tell its log").await? {
            match reply {
                Reply::Log(line) => each(&line),
                Reply::Missed(count) => each(&format!("({count} lines left out)")),
                Reply::Done => break,
                Reply::Error(problem) => return Err(Error::Refused(problem)),
                Reply::Status(_) | Reply::Name(_) | Reply::Explanation(_) | Reply::Answer(_) => {
                    return Err(self.unexpected(&reply));
                }
            }
        }
        Ok(())
    }

    /// The next of several replies; `None` where the session has ended. What is kept is known by heart, so it has a limit;
    /// with `follow` the next one may take as long as it likes.
    async fn next_reply(&mut self, follow: bool, what: &'static str) -> Result<Option<Reply>, Error> {
        let id = self.id.clone();
        let reply = self.read_or_end::<Reply>();
        if follow {
            reply.await
        } else {
            timeout(ANSWER_LIMIT, reply)
                .await
                .map_err(|_| timed_out(&id, what, ANSWER_LIMIT))?
        }
    }

    async fn ask(&mut self, request: &Request, what: &'static str, limit: Duration) -> Result<Reply, Error> {
        let id = self.id.clone();
        let reply = async {
            self.send(request).await?;
            self.read().await
        };
        let reply = timeout(limit, reply)
            .await
            .map_err(|_| timed_out(&id, what, limit))??;
        if let Reply::Error(problem) = reply {
            return Err(Error::Refused(problem));
        }
        Ok(reply)
    }

    async fn send(&mut self, request: &Request) -> Result<(), Error> {
        self.lines
            .write(request)
            .await
            .map_err(|source| self.gone(source))
    }

    async fn read<T: serde::de::DeserializeOwned>(&mut self) -> Result<T, Error> {
        match self.read_or_end().await? {
            Some(message) => Ok(message),
            None => Err(Error::NoSession(self.id.clone())),
        }
    }

    async fn read_or_end<T: serde::de::DeserializeOwned>(&mut self) -> Result<Option<T>, Error> {
        match self.lines.read().await {
            Ok(message) => Ok(message),
            Err(BadLine::Unknown(what)) => Err(Error::Unexpected {
                id: self.id.clone(),
                what,
            }),
            Err(BadLine::TooLong) => Err(Error::Unexpected {
                id: self.id.clone(),
                what: "a line without end".into(),
            }),
            // A killed process resets its sockets: that is an end like any other.
            Err(BadLine::Io(error)) if error.kind() == io::ErrorKind::ConnectionReset => Ok(None),
            Err(BadLine::Io(source)) => Err(self.gone(source)),
        }
    }

    fn gone(&self, source: io::Error) -> Error {
        if matches!(
            source.kind(),
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
        ) {
            return Error::NoSession(self.id.clone());
        }
        Error::Io {
            action: "read",
            path: format!("{}.sock", self.id).into(),
            source,
        }
    }

    fn unexpected(&self, reply: &Reply) -> Error {
        let what = format!("{reply:?}").chars().take(120).collect();
        Error::Unexpected {
            id: self.id.clone(),
            what,
        }
    }
}

impl Watch {
    /// The next event; nothing once the session has ended. Cancel safe.
    ///
    /// # Errors
    /// See [`Error`]. The session's end is none.
    pub async fn next(&mut self) -> Result<Option<WatchEvent>, Error> {
        if let Some(present) = self.present.take() {
            return Ok(Some(WatchEvent::Status(present)));
        }
        match self.client.read_or_end::<Reply>().await? {
            None => Ok(None),
            Some(Reply::Status(status)) => Ok(Some(WatchEvent::Status(status))),
            Some(Reply::Name(name)) => Ok(Some(WatchEvent::Name(name))),
            Some(Reply::Missed(count)) => Ok(Some(WatchEvent::Missed(count))),
            Some(Reply::Error(problem)) => Err(Error::Refused(problem)),
            Some(other @ (Reply::Explanation(_) | Reply::Answer(_) | Reply::Log(_) | Reply::Done)) => {
                Err(self.client.unexpected(&other))
            }
        }
    }
}

fn timed_out(id: &SessionId, what: &'static str, limit: Duration) -> Error {
    Error::TimedOut {
        id: id.clone(),
        what,
        seconds: limit.as_secs(),
    }
}
