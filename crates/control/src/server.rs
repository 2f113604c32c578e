//! Server of a session's control socket.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use nix::unistd::geteuid;
use slipway_control_api::{
    Changed, Explanation, Greeting, NameEvent, PROTOCOL_VERSION, Problem, Reply, Request, SessionId,
    SessionStatus, Subscription, WatchedNames,
};
use slipway_profile::Change;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::broadcast;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::error::Elapsed;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::folder::RuntimeFolder;
use crate::log::LogRing;
use crate::publisher::Publisher;
use crate::wire::{BadLine, Lines, MAX_LINE_BYTES};

/// Number of clients at once. A tray, a window and a few terminals are usual.
const MAX_CLIENTS: usize = 64;
/// How long a client may stay connected without a request.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);
/// How long the session may take to explain a name.
const EXPLAIN_LIMIT: Duration = Duration::from_secs(15);
/// How long the session may take to make a change, which goes through the helper and asks the cluster about hosts.
const CHANGE_LIMIT: Duration = Duration::from_secs(15);
/// How long clients may take to read the last status.
const FAREWELL_LIMIT: Duration = Duration::from_secs(1);
/// Pause after a failed `accept`, so that a lack of descriptors does not cause a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Actions of a session at a client's request.
pub trait Handler: Send + Sync + 'static {
    /// Starts to end the session, and returns at once; the status shows the progress. May be called again meanwhile.
    fn disconnect(&self);

    /// Explains the answer for a name.
    fn explain(&self, name: &str) -> impl Future<Output = Explanation> + Send;

    /// Changes what the session sends to the cluster.
    fn change(&self, change: Change) -> impl Future<Output = Result<Changed, Problem>> + Send;

    /// Notes that the client has made a change in the saved profile too.
    fn saved(
        &self,
        number: Option<u32>,
        profile: Change,
    ) -> impl Future<Output = Result<Changed, Problem>> + Send;

    /// Undoes a change: the one with this number, or else the last one.
    fn undo(&self, number: Option<u32>) -> impl Future<Output = Result<Changed, Problem>> + Send;

    /// Answers a DNS question of another session; `None` if this session's cluster does not have the name.
    fn answer(&self, query: Vec<u8>) -> impl Future<Output = Option<Vec<u8>>> + Send;
}

/// A session's socket. Dropping it ends every connection and removes the file.
#[derive(Debug)]
pub struct Server {
    end: CancellationToken,
    accepting: JoinHandle<()>,
    file: SocketFile,
}

impl Server {
    /// Serves the session that `initial` describes. The socket gets its name after it listens, so that no client takes it
    /// for a stale one.
    ///
    /// # Errors
    /// [`Error::Io`] if the socket cannot be made, [`Error::NotPrivate`] if other users can access its folder.
    pub fn bind(
        folder: &RuntimeFolder,
        initial: SessionStatus,
        logs: LogRing,
        handler: impl Handler,
    ) -> Result<(Self, Publisher), Error> {
        folder.ensure()?;
        let id = initial.id.clone();
        let (listener, file) = listen(folder, &id)?;
        let publisher = Publisher::new(initial, logs);
        let end = CancellationToken::new();
        let service = Arc::new(Service {
            id,
            publisher: publisher.clone(),
            handler,
            end: end.clone(),
        });
        let accepting = tokio::spawn(accept(listener, service));
        Ok((Self { end, accepting, file }, publisher))
    }

    /// Removes the socket, gives clients a moment to read the last status, and closes.
    pub async fn end(mut self) {
        self.file.remove();
        self.end.cancel();
        // Has a limit: the accepting task ends its clients after FAREWELL_LIMIT.
        let _ = (&mut self.accepting).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// The socket's file, removed with its owner.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
}

impl SocketFile {
    fn remove(&self) {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(path = %self.path.display(), %error, "failed to remove the control socket");
            }
            Ok(()) | Err(_) => {}
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        self.remove();
    }
}

fn listen(folder: &RuntimeFolder, id: &SessionId) -> Result<(UnixListener, SocketFile), Error> {
    let path = folder.socket(id);
    let failed = |source| Error::Io {
        action: "served",
        path: path.clone(),
        source,
    };
    let mut file = SocketFile {
        path: folder.unfinished_socket(id),
    };
    let listener = UnixListener::bind(&file.path).map_err(failed)?;
    fs::set_permissions(&file.path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
    // link(2), because rename(2) would replace the socket of another session with this id.
    fs::hard_link(&file.path, &path).map_err(failed)?;
    file.remove();
    file.path = path.clone();
    Ok((listener, file))
}

struct Service<H> {
    id: SessionId,
    publisher: Publisher,
    handler: H,
    end: CancellationToken,
}

async fn accept<H: Handler>(listener: UnixListener, service: Arc<Service<H>>) {
    let mut clients = JoinSet::new();
    loop {
        tokio::select! {
            () = service.end.cancelled() => break,
            Some(_) = clients.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if clients.len() < MAX_CLIENTS && is_ours(&stream) => {
                    let service = Arc::clone(&service);
                    clients.spawn(async move { service.serve(Lines::new(stream)).await });
                }
                Ok(_) => tracing::warn!("refused a client of the control socket: too many clients, or another user"),
                Err(error) => {
                    tracing::warn!(%error, "failed to accept a client of the control socket");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    let farewell = async { while clients.join_next().await.is_some() {} };
    let _ = timeout(FAREWELL_LIMIT, farewell).await;
}

/// Whether the peer is this user. The folder's mode ensures this too, unless the mode is wrong.
fn is_ours(stream: &UnixStream) -> bool {
    stream.peer_cred().is_ok_and(|peer| is_this_user(peer.uid()))
}

fn is_this_user(uid: u32) -> bool {
    uid == geteuid().as_raw()
}

impl<H: Handler> Service<H> {
    /// Serves one client until it closes, breaks the protocol or the session ends.
    async fn serve(&self, mut lines: Lines) -> io::Result<()> {
        let greeting = Greeting {
            slipway_control: PROTOCOL_VERSION,
            id: self.id.clone(),
        };
        lines.write(&greeting).await?;
        loop {
            let request = tokio::select! {
                // Requests that have arrived are answered also at the end, such as the watch after a disconnect.
                biased;
                request = timeout(REQUEST_LIMIT, lines.read()) => request,
                () = self.end.cancelled() => return Ok(()),
            };
            let request = match request {
                Err(_) | Ok(Ok(None)) => return Ok(()),
                Ok(Ok(Some(request))) => request,
                Ok(Err(BadLine::Unknown(line))) => {
                    lines.write(&Reply::Error(unknown_command(&line))).await?;
                    continue;
                }
                Ok(Err(BadLine::TooLong)) => {
                    // The rest of that line follows in the stream, so the connection cannot continue.
                    return lines.write(&Reply::Error(line_too_long())).await;
                }
                Ok(Err(BadLine::Io(error))) => return Err(error),
            };
            match request {
                Request::Status => lines.write(&self.status()).await?,
                Request::Watch(subscription) => return self.watch(lines, subscription).await,
                Request::Disconnect => {
                    self.handler.disconnect();
                    lines.write(&Reply::Done).await?;
                }
                Request::Explain { name } => lines.write(&self.explain(&name).await).await?,
                Request::Change { change } => {
                    let outcome = timeout(CHANGE_LIMIT, self.handler.change(*change));
                    lines.write(&changed(outcome.await)).await?;
                }
                Request::Saved { number, profile } => {
                    let outcome = timeout(CHANGE_LIMIT, self.handler.saved(number, *profile));
                    lines.write(&changed(outcome.await)).await?;
                }
                Request::Undo { number } => {
                    let outcome = timeout(CHANGE_LIMIT, self.handler.undo(number));
                    lines.write(&changed(outcome.await)).await?;
                }
                Request::Answer { query } => lines.write(&self.answer(&query).await).await?,
                Request::History => {
                    let history = Box::new(self.publisher.history());
                    lines.write(&Reply::History(history)).await?;
                }
                Request::Names { failed, follow } => {
                    let (kept, new) = self.publisher.follow_names();
                    let reply = |event: NameEvent| {
                        (!failed || event.problem.is_some()).then(|| Reply::Name(Box::new(event)))
                    };
                    for reply in kept.into_iter().filter_map(reply) {
                        lines.write(&reply).await?;
                    }
                    if follow {
                        return self.follow(lines, new, reply).await;
                    }
                    lines.write(&Reply::Done).await?;
                }
                Request::Logs { follow } => {
                    let (kept, new) = self.publisher.logs().follow();
                    for line in kept {
                        lines.write(&Reply::Log(line)).await?;
                    }
                    if follow {
                        return self.follow(lines, new, |line| Some(Reply::Log(line))).await;
                    }
                    lines.write(&Reply::Done).await?;
                }
            }
        }
    }

    fn status(&self) -> Reply {
        Reply::Status(Box::new(self.publisher.status()))
    }

    async fn explain(&self, name: &str) -> Reply {
        match timeout(EXPLAIN_LIMIT, self.handler.explain(name)).await {
            Ok(explanation) => Reply::Explanation(explanation),
            Err(_) => Reply::Error(Problem::new(
                "control-explain-timed-out",
                format!(
                    "The cluster did not answer for {name} within {} s.",
                    EXPLAIN_LIMIT.as_secs()
                ),
                "Check `slipway status`. If the session is reconnecting, try again when it is connected.",
            )),
        }
    }

    async fn answer(&self, query: &str) -> Reply {
        let Ok(query) = hex::decode(query) else {
            return Reply::Answer(None);
        };
        let answer = timeout(EXPLAIN_LIMIT, self.handler.answer(query)).await;
        Reply::Answer(answer.ok().flatten().map(hex::encode))
    }

    async fn watch(&self, mut lines: Lines, subscription: Subscription) -> io::Result<()> {
        // The session makes events of cached names only while there is a receiver.
        let mut names = match subscription.names {
            WatchedNames::None => None,
            WatchedNames::Failed | WatchedNames::All => Some(self.publisher.follow_names().1),
        };
        let mut status = self.publisher.watch();
        status.mark_changed();
        let mut last = None;
        loop {
            let reply = tokio::select! {
                // The status first, because watchers act on it.
                biased;
                Ok(()) = status.changed() => {
                    let mut now = status.borrow_and_update().clone();
                    if !subscription.figures {
                        now.health = None;
                    }
                    if last.as_ref() == Some(&now) {
                        continue;
                    }
                    last = Some(now.clone());
                    Reply::Status(Box::new(now))
                }
                name = next_name(&mut names) => match name {
                    Ok(name) if subscription.names == WatchedNames::Failed && name.problem.is_none() => continue,
                    Ok(name) => Reply::Name(Box::new(name)),
                    Err(broadcast::error::RecvError::Lagged(count)) => Reply::Missed(count),
                    Err(broadcast::error::RecvError::Closed) => return Ok(()),
                },
                () = self.end.cancelled() => return Ok(()),
                () = lines.closed() => return Ok(()),
            };
            lines.write(&reply).await?;
        }
    }

    /// Sends a reply for each new item for which `reply` returns one, until either side closes.
    async fn follow<T: Clone>(
        &self,
        mut lines: Lines,
        mut new: broadcast::Receiver<T>,
        reply: impl Fn(T) -> Option<Reply>,
    ) -> io::Result<()> {
        loop {
            let reply = tokio::select! {
                biased;
                came = new.recv() => match came.map(&reply) {
                    Ok(Some(reply)) => reply,
                    Ok(None) => continue,
                    Err(broadcast::error::RecvError::Lagged(count)) => Reply::Missed(count),
                    Err(broadcast::error::RecvError::Closed) => return Ok(()),
                },
                () = self.end.cancelled() => return Ok(()),
                () = lines.closed() => return Ok(()),
            };
            lines.write(&reply).await?;
        }
    }
}

/// Waits for the next name; forever if `names` is `None`. Cancel safe.
async fn next_name(
    names: &mut Option<broadcast::Receiver<NameEvent>>,
) -> Result<NameEvent, broadcast::error::RecvError> {
    match names {
        Some(names) => names.recv().await,
        None => std::future::pending().await,
    }
}

fn changed(outcome: Result<Result<Changed, Problem>, Elapsed>) -> Reply {
    match outcome {
        Ok(Ok(changed)) => Reply::Changed(Box::new(changed)),
        Ok(Err(problem)) => Reply::Error(problem),
        Err(_) => Reply::Error(Problem::new(
            "control-change-timed-out",
            format!("The change was not complete within {} s.", CHANGE_LIMIT.as_secs()),
            "Check `slipway status`, which shows what the session sends to the cluster now.",
        )),
    }
}

fn unknown_command(line: &str) -> Problem {
    Problem::new(
        "control-unknown-command",
        format!("The session does not know the command {line}."),
        "Use the same version of Slipway for the session and for this program.",
    )
}

fn line_too_long() -> Problem {
    Problem::new(
        "control-line-too-long",
        format!("The client sent a line of more than {MAX_LINE_BYTES} bytes."),
        "Send one command per line.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_user_is_not_ours() {
        let us = geteuid().as_raw();
        assert!(is_this_user(us));
        assert!(!is_this_user(us.wrapping_add(1)));
    }
}
