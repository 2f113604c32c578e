//! Upstreams: the laptop's name servers, asked over sockets that the helper made.
//!
//! The session may not mark sockets, so the helper makes them: UDP sockets connected to each server, and a TCP socket
//! when one is needed. A question goes to the one server that the program asked, or to all in the order of the laptop's
//! list; `turns` has the rules. An answer has to match a random ID and the question; the kernel checks the server's
//! address, because the sockets are connected.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use self::turns::{Reply, Step, Turns};
use crate::asks::{Addressee, AskError};
use crate::message;
use crate::question::Query;

mod turns;

/// Length of a server's turn in the first round and in the second. The first is short, so that a lost packet is soon
/// sent again; the second is enough for a server behind a slow line that has to ask other servers.
pub const ROUNDS: [Duration; 2] = [Duration::from_millis(1200), Duration::from_millis(2500)];

/// Bound of questions that wait on one socket.
pub const WAITING: usize = 256;

/// Pause after a socket reported an error, so that one that only reports errors does not use up the CPU.
const AFTER_ERROR: Duration = Duration::from_millis(50);

/// Name server of the laptop, with the sockets to ask it.
#[derive(Debug)]
pub struct Server {
    /// Its address and port.
    pub address: SocketAddr,
    /// UDP sockets connected to it. Several make answers harder to forge, and allow more questions at the same time.
    pub sockets: Vec<UdpSocket>,
}

/// Maker of TCP connections to name servers that bypass the session's capture.
pub trait Dial: Send + Sync + 'static {
    /// Connects to `server`.
    fn dial(&self, server: SocketAddr) -> impl Future<Output = io::Result<TcpStream>> + Send;
}

/// Client of the laptop's name servers.
pub struct Upstream<D> {
    servers: Vec<ServerSockets>,
    patience: Duration,
    dial: D,
    /// Tasks that read the sockets. Dropping them ends them.
    _readers: JoinSet<()>,
}

struct ServerSockets {
    address: SocketAddr,
    sockets: Vec<SharedSocket>,
}

/// UDP socket on which several questions can wait.
struct SharedSocket {
    socket: Arc<UdpSocket>,
    waiting: Waiting,
}

/// Questions that wait on a socket, by their ID.
type Waiting = Arc<Mutex<HashMap<u16, Waiter>>>;

struct Waiter {
    query: Bytes,
    answer: oneshot::Sender<Result<Bytes, AskError>>,
}

/// Removes a question from those that wait, also when its caller gives up.
struct WaitGuard<'a> {
    waiting: &'a Waiting,
    id: u16,
}

impl<D: Dial> Upstream<D> {
    /// Makes a client of `servers`, in the order of the laptop's list. `patience` is the limit for the answer of a server
    /// that a program asked, at least as long as programs wait for one. The client starts tasks, so it must be made
    /// within a tokio runtime.
    #[must_use]
    pub fn new(servers: Vec<Server>, patience: Duration, dial: D) -> Self {
        let mut readers = JoinSet::new();
        let mut share = |socket| {
            let shared = SharedSocket {
                socket: Arc::new(socket),
                waiting: Waiting::default(),
            };
            readers.spawn(read(Arc::clone(&shared.socket), Arc::clone(&shared.waiting)));
            shared
        };
        let servers = servers
            .into_iter()
            .map(|Server { address, sockets }| ServerSockets {
                address,
                sockets: sockets.into_iter().map(&mut share).collect(),
            });
        Self {
            servers: servers.collect(),
            patience,
            dial,
            _readers: readers,
        }
    }

    /// Asks the addressee. The answer is whole and has the query's ID.
    ///
    /// The question goes to all servers in order if the list, which may have changed, has no such server.
    ///
    /// # Errors
    /// [`AskError::NoServer`] without servers, otherwise the error of the server that failed last.
    pub async fn ask(&self, query: Bytes, addressee: Addressee) -> Result<Bytes, AskError> {
        let only = match addressee {
            Addressee::InOrder => None,
            Addressee::Only(place) => self.servers.get(place),
        };
        match only {
            Some(server) => timeout(self.patience, self.ask_server(server, &query))
                .await
                .map_err(|_| AskError::TimedOut)?,
            None => self.ask_in_order(&query).await,
        }
    }

    async fn ask_in_order(&self, query: &Bytes) -> Result<Bytes, AskError> {
        let began = Instant::now();
        let mut turns = Turns::new(self.servers.len());
        let mut answers: Vec<Option<Bytes>> = vec![None; self.servers.len()];
        let mut asking = FuturesUnordered::new();
        let mut error = if self.servers.is_empty() {
            AskError::NoServer
        } else {
            AskError::TimedOut
        };
        loop {
            match turns.next(began.elapsed()) {
                Step::Ask(server) => {
                    asking.push(async move { (server, self.ask_server(&self.servers[server], query).await) });
                }
                Step::WaitUntil(until) => tokio::select! {
                    Some((server, outcome)) = asking.next() => match outcome {
                        Ok(answer) => {
                            turns.heard(server, read_reply(&answer));
                            answers[server] = Some(answer);
                        }
                        Err(failure) => {
                            turns.heard(server, Reply::Failed);
                            error = failure;
                        }
                    },
                    () = sleep_until(began + until) => {}
                },
                Step::Give(server) => return answers[server].take().ok_or(AskError::Garbled),
                Step::GiveUp => return Err(error),
            }
        }
    }

    async fn ask_server(&self, server: &ServerSockets, query: &Bytes) -> Result<Bytes, AskError> {
        let random = random();
        let Some(socket) = server
            .sockets
            .get(usize::from(random[0]) % server.sockets.len().max(1))
        else {
            return self.ask_over_tcp(server, query).await;
        };
        let answer = socket
            .ask(query, u16::from_be_bytes([random[1], random[2]]))
            .await?;
        if message::is_truncated(&answer) {
            return self.ask_over_tcp(server, query).await;
        }
        Ok(answer)
    }

    async fn ask_over_tcp(&self, server: &ServerSockets, query: &Bytes) -> Result<Bytes, AskError> {
        let exchange = async {
            let mut stream = self.dial.dial(server.address).await?;
            let length = u16::try_from(query.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
            stream
                .write_all(&[&length.to_be_bytes()[..], query].concat())
                .await?;
            let mut answer = vec![0; stream.read_u16().await?.into()];
            stream.read_exact(&mut answer).await?;
            io::Result::Ok(answer)
        };
        let answer = exchange.await.map_err(|_| AskError::Unreachable)?;
        let matches = Query::parse(query)
            .is_ok_and(|query| message::answers(&answer, &query) && answer[..2] == query.id);
        if matches {
            Ok(answer.into())
        } else {
            Err(AskError::Garbled)
        }
    }
}

impl SharedSocket {
    /// Sends the query with a free ID near `id` and waits for the answer.
    async fn ask(&self, query: &Bytes, id: u16) -> Result<Bytes, AskError> {
        let (answer, answered) = oneshot::channel();
        let (guard, query) = self
            .start_waiting(query, id, answer)
            .ok_or(AskError::Unreachable)?;
        self.socket
            .send(&query)
            .await
            .map_err(|_| AskError::Unreachable)?;
        let answer = answered.await.map_err(|_| AskError::Unreachable)?;
        drop(guard);
        answer
    }

    /// Lists the query with a free ID near `id`, and returns the bytes to send; `None` if too many questions wait.
    fn start_waiting(
        &self,
        query: &Bytes,
        id: u16,
        answer: oneshot::Sender<Result<Bytes, AskError>>,
    ) -> Option<(WaitGuard<'_>, Bytes)> {
        let mut waiting = lock(&self.waiting);
        if waiting.len() >= WAITING {
            return None;
        }
        let id = (0..=u16::MAX)
            .map(|step| id.wrapping_add(step))
            .find(|id| !waiting.contains_key(id))?;
        let sent: Bytes = [&id.to_be_bytes()[..], query.get(2..)?].concat().into();
        waiting.insert(
            id,
            Waiter {
                query: query.clone(),
                answer,
            },
        );
        Some((
            WaitGuard {
                waiting: &self.waiting,
                id,
            },
            sent,
        ))
    }
}

impl Drop for WaitGuard<'_> {
    fn drop(&mut self) {
        lock(self.waiting).remove(&self.id);
    }
}

/// Hands each answer on a socket to the question that waits for it.
async fn read(socket: Arc<UdpSocket>, waiting: Waiting) {
    let mut buffer = vec![0; usize::from(u16::MAX)];
    loop {
        match socket.recv(&mut buffer).await {
            Ok(length) => deliver(&buffer[..length], &waiting),
            Err(_) => {
                // For example "port unreachable": no program listens there, so waiting longer is of no use.
                for (_, waiter) in lock(&waiting).drain() {
                    let _ = waiter.answer.send(Err(AskError::Unreachable));
                }
                sleep(AFTER_ERROR).await;
            }
        }
    }
}

fn deliver(answer: &[u8], waiting: &Waiting) {
    let Some(&id) = answer.first_chunk() else { return };
    let id = u16::from_be_bytes(id);
    let mut waiting = lock(waiting);
    // A forgery that has only guessed the ID must not end the wait for the true answer.
    let is_meant =
        |waiter: &Waiter| Query::parse(&waiter.query).is_ok_and(|query| message::answers(answer, &query));
    if !waiting.get(&id).is_some_and(is_meant) {
        return;
    }
    if let Some(waiter) = waiting.remove(&id) {
        let own_id = waiter.query.get(..2).unwrap_or_default();
        let answer = [own_id, answer.get(2..).unwrap_or_default()].concat();
        let _ = waiter.answer.send(Ok(answer.into()));
    }
}

/// Reads what an answer means for the other servers. After SERVFAIL, NOTIMP and REFUSED the next one is asked, as glibc
/// and musl do.
fn read_reply(answer: &[u8]) -> Reply {
    let has_records = answer.get(6..8).is_some_and(|count| count != [0, 0]);
    match message::rcode(answer) {
        Some(2 | 4 | 5) => Reply::Refused,
        Some(3) => Reply::Denied,
        Some(0) if !has_records => Reply::Denied,
        Some(_) | None => Reply::Found,
    }
}

/// Returns three random bytes. They are zeros if the kernel has none, which does not happen once the system is up; the
/// question of an answer is checked in any case.
fn random() -> [u8; 3] {
    let mut bytes = [0; 3];
    if let Err(error) = getrandom::fill(&mut bytes) {
        tracing::warn!(%error, "no random bytes for DNS IDs");
    }
    bytes
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
