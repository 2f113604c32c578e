//! Client of a session's control socket.

use std::fs;
use std::io;
use std::time::Duration;

use futures_util::future::join_all;
use slipway_control_api::{
    Changed, Explanation, Greeting, History, NameEvent, PROTOCOL_VERSION, Reply, Request, SessionId,
    SessionStatus, Subscription,
};
use slipway_profile::Change;
use tokio::net::UnixStream;
use tokio::time::{Instant, timeout, timeout_at};

use crate::error::Error;
use crate::folder::RuntimeFolder;
use crate::wire::{BadLine, Lines};

/// How long a session may take to greet, and to answer a request that needs no other program.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);
/// How long a session may take to explain a name. Longer than the session's own limit, so that its own error arrives.
const EXPLAIN_LIMIT: Duration = Duration::from_secs(20);
/// How long a session may take to make a change. Longer than the session's own limit, so that its own error arrives.
const CHANGE_LIMIT: Duration = Duration::from_secs(20);
/// How long a session may take to end after a request: longer than its cleanup in the cluster.
pub const DISCONNECT_LIMIT: Duration = Duration::from_secs(30);

/// A connection to one session.
pub struct Client {
    id: SessionId,
    lines: Lines,
}

/// A subscription to the events of a session.
pub struct Watch {
    client: Client,
    /// The first status, until [`Watch::next`] returns it.
    present: Option<Box<SessionStatus>>,
}

/// An event of a [`Watch`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchEvent {
    /// The session's status, now or after a change.
    Status(Box<SessionStatus>),
    /// A name was asked for.
    Name(Box<NameEvent>),
    /// This many names were left out.
    Missed(u64),
}

/// Returns every running session, oldest first. All are asked at once. A session that does not answer within a second
/// is left out, with a warning in the log. Sockets that no session serves are removed.
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
    /// Connects to the session `id`. A socket that no session serves is removed.
    ///
    /// # Errors
    /// [`Error::NoSession`] if it does not run, [`Error::Version`] if it has another protocol version,
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
                // A socket listens before it gets its name, and no name is used twice, so this session is dead.
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

    /// Returns the session's status.
    ///
    /// # Errors
    /// See [`Error`]; within a second.
    pub async fn status(&mut self) -> Result<SessionStatus, Error> {
        let reply = self
            .ask(&Request::Status, "report its status", ANSWER_LIMIT)
            .await?;
        let Reply::Status(status) = reply else {
            return Err(self.unexpected(&reply));
        };
        Ok(*status)
    }

    /// Returns the last hour of the session.
    ///
    /// # Errors
    /// See [`Error`]; within a second.
    pub async fn history(&mut self) -> Result<History, Error> {
        let reply = self
            .ask(&Request::History, "report its history", ANSWER_LIMIT)
            .await?;
        let Reply::History(history) = reply else {
            return Err(self.unexpected(&reply));
        };
        Ok(*history)
    }

    /// Returns the explanation of `name`.
    ///
    /// # Errors
    /// [`Error::Refused`] if the session cannot explain it; see [`Error`] for the rest.
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

    /// Changes what the session sends to the cluster.
    ///
    /// # Errors
    /// [`Error::Refused`] if the session cannot make the change; see [`Error`] for the rest.
    pub async fn change(&mut self, change: Change) -> Result<Changed, Error> {
        let change = Box::new(change);
        self.changed(&Request::Change { change }).await
    }

    /// Tells the session that the caller has made a change in the saved profile too, so that its undo names it.
    ///
    /// # Errors
    /// [`Error::Refused`] if the session has no such change; see [`Error`] for the rest.
    pub async fn saved(&mut self, number: Option<u32>, profile: Change) -> Result<Changed, Error> {
        let profile = Box::new(profile);
        self.changed(&Request::Saved { number, profile }).await
    }

    /// Undoes a change of the session: the one with this number, or else the last one. The caller takes back what the
    /// outcome names for the saved profile.
    ///
    /// # Errors
    /// [`Error::Refused`] if there is no such change; see [`Error`] for the rest.
    pub async fn undo(&mut self, number: Option<u32>) -> Result<Changed, Error> {
        self.changed(&Request::Undo { number }).await
    }

    async fn changed(&mut self, request: &Request) -> Result<Changed, Error> {
        let reply = self.ask(request, "make the change", CHANGE_LIMIT).await?;
        let Reply::Changed(changed) = reply else {
            return Err(self.unexpected(&reply));
        };
        Ok(*changed)
    }

    /// Returns the session's answer to a DNS question; `None` if its cluster does not have the name.
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

    /// Asks the session to end, and does not wait until it has ended.
    ///
    /// # Errors
    /// See [`Error`]; within a second.
    pub async fn request_disconnect(&mut self) -> Result<(), Error> {
        let reply = self
            .ask(&Request::Disconnect, "accept the request to end", ANSWER_LIMIT)
            .await?;
        let Reply::Done = reply else {
            return Err(self.unexpected(&reply));
        };
        Ok(())
    }

    /// Asks the session to end, and waits until it has ended. Returns its last status; `None` if it died before it sent
    /// one.
    ///
    /// # Errors
    /// [`Error::TimedOut`] if it has not ended after [`DISCONNECT_LIMIT`]; see [`Error`] for the rest.
    pub async fn disconnect(mut self) -> Result<Option<SessionStatus>, Error> {
        let id = self.id.clone();
        let ended = async {
            // Both at once: the session may end before it reads a second request.
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
                | Reply::Changed(_)
                | Reply::History(_)
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

    /// Subscribes to the session's events; the first one is its present status.
    ///
    /// # Errors
    /// [`Error::TimedOut`] if the status does not arrive within a second; [`Error::Io`] if the socket is gone.
    pub async fn watch(mut self, subscription: Subscription) -> Result<Watch, Error> {
        let request = Request::Watch(subscription);
        let reply = self.ask(&request, "report its status", ANSWER_LIMIT).await?;
        let Reply::Status(present) = reply else {
            return Err(self.unexpected(&reply));
        };
        Ok(Watch {
            client: self,
            present: Some(present),
        })
    }

    /// Reads the names that programs asked for recently, or only those without an answer; with `follow`, also new ones.
    /// Calls `each` for every name, and with the number of names that were left out because they were read too slowly.
    ///
    /// # Errors
    /// See [`Error`]. The end of the session is not an error.
    pub async fn names(
        mut self,
        failed: bool,
        follow: bool,
        mut each: impl FnMut(Result<NameEvent, u64>),
    ) -> Result<(), Error> {
        self.send(&Request::Names { failed, follow }).await?;
        while let Some(reply) = self.next_reply(follow, "send its names").await? {
            match reply {
                Reply::Name(event) => each(Ok(*event)),
                Reply::Missed(count) => each(Err(count)),
                Reply::Done => break,
                Reply::Error(problem) => return Err(Error::Refused(problem)),
                Reply::Status(_)
                | Reply::Log(_)
                | Reply::Explanation(_)
                | Reply::Changed(_)
                | Reply::History(_)
                | Reply::Answer(_) => {
                    return Err(self.unexpected(&reply));
                }
            }
        }
        Ok(())
    }

    /// Reads the lines of the session's log; with `follow`, also new ones. Calls `each` for every line.
    ///
    /// # Errors
    /// See [`Error`]. The end of the session is not an error.
    pub async fn logs(mut self, follow: bool, mut each: impl FnMut(&str)) -> Result<(), Error> {
        self.send(&Request::Logs { follow }).await?;
        while let Some(reply) = self.next_reply(follow, "send its log").await? {
            match reply {
                Reply::Log(line) => each(&line),
                Reply::Missed(count) => each(&format!("({count} lines were left out)")),
                Reply::Done => break,
                Reply::Error(problem) => return Err(Error::Refused(problem)),
                Reply::Status(_)
                | Reply::Name(_)
                | Reply::Explanation(_)
                | Reply::Changed(_)
                | Reply::History(_)
                | Reply::Answer(_) => {
                    return Err(self.unexpected(&reply));
                }
            }
        }
        Ok(())
    }

    /// Returns the next of several replies; `None` if the session has ended. Without `follow` the reply has a limit; with
    /// it, new events may come at any time.
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
            // A killed process resets its sockets, which counts as an ordinary end.
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
    /// Returns the next event; `None` once the session has ended. Cancel safe.
    ///
    /// # Errors
    /// See [`Error`]. The end of the session is not an error.
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
            Some(
                other @ (Reply::Explanation(_)
                | Reply::Changed(_)
                | Reply::History(_)
                | Reply::Answer(_)
                | Reply::Log(_)
                | Reply::Done),
            ) => Err(self.client.unexpected(&other)),
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
