//! The laptop's own name servers, over sockets that somebody else made.
//!
//! The session may not mark sockets, so the helper makes them: UDP sockets connected to each server, and TCP sockets when
//! one is needed. Servers are asked in the order of the laptop's resolv.conf, as its resolver did. Answers are matched by
//! a random ID and by the question; the kernel matches the server's address, as the sockets are connected.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::asks::AskError;
use crate::message;
use crate::question::Query;

/// How long each server may take in the first round and in the second. A server behind a slow line that must ask others
/// first takes longer than the first; one that lost a packet is asked again soon.
pub const ROUNDS: [Duration; 2] = [Duration::from_millis(1200), Duration::from_millis(2500)];

/// How long a whole conversation over TCP may take.
pub const TCP_WITHIN: Duration = Duration::from_secs(3);

/// How many questions may wait on one socket.
pub const WAITING: usize = 256;

/// The pause after a socket reported an error, so that one that does nothing else costs nothing.
const AFTER_ERROR: Duration = Duration::from_millis(50);

/// One of the laptop's name servers.
#[derive(Debug)]
pub struct Server {
    /// Where it is.
    pub address: SocketAddr,
    /// Sockets connected to it. Several make answers harder to forge and questions freer to flow.
    pub sockets: Vec<UdpSocket>,
}

/// Makes TCP connections to name servers, around the session's own capture.
pub trait Dial: Send + Sync + 'static {
    /// Connects to `server`.
    fn dial(&self, server: SocketAddr) -> impl Future<Output = io::Result<TcpStream>> + Send;
}

/// The laptop's name servers, ready to be asked.
pub struct Upstream<D> {
    servers: Vec<Lines>,
    dial: D,
    /// The server that answered last: it comes first until it keeps silent.
    preferred: AtomicUsize,
    /// The sockets' readers; they end with this.
    _readers: JoinSet<()>,
}

struct Lines {
    address: SocketAddr,
    sockets: Vec<Line>,
}

struct Line {
    socket: Arc<UdpSocket>,
    waiting: Waiting,
}

/// Who waits on a socket, by the ID of the question.
type Waiting = Arc<Mutex<HashMap<u16, Waiter>>>;

struct Waiter {
    query: Bytes,
    answer: oneshot::Sender<Result<Bytes, AskError>>,
}

/// Ends a wait, however it ends.
struct Seat<'a> {
    waiting: &'a Waiting,
    id: u16,
}

impl<D: Dial> Upstream<D> {
    /// Takes the servers in the order in which they are to be asked. Must be called within a tokio runtime.
    #[must_use]
    pub fn new(servers: Vec<Server>, dial: D) -> Self {
        let mut readers = JoinSet::new();
        let mut line = |socket| {
            let line = Line {
                socket: Arc::new(socket),
                waiting: Waiting::default(),
            };
            readers.spawn(read(Arc::clone(&line.socket), Arc::clone(&line.waiting)));
            line
        };
        let servers = servers.into_iter().map(|Server { address, sockets }| Lines {
            address,
            sockets: sockets.into_iter().map(&mut line).collect(),
        });
        Self {
            servers: servers.collect(),
            dial,
            preferred: AtomicUsize::new(0),
            _readers: readers,
        }
    }

    /// Asks the servers in turn until one answers; the whole answer comes back, with the query's own ID.
    ///
    /// # Errors
    /// [`AskError::NoServer`] without servers, else what the last one's silence was.
    pub async fn ask(&self, query: Bytes) -> Result<Bytes, AskError> {
        let mut refused = None;
        let mut silence = AskError::NoServer;
        for limit in ROUNDS {
            let first = self.preferred.load(Ordering::Relaxed);
            for turn in 0..self.servers.len() {
                let index = (first + turn) % self.servers.len();
                match self.ask_server(&self.servers[index], &query, limit).await {
                    Ok(answer) if is_final(&answer) => {
                        self.preferred.store(index, Ordering::Relaxed);
                        return Ok(answer);
                    }
                    Ok(answer) => refused = Some(answer),
                    Err(error) => silence = error,
                }
            }
            if let Some(answer) = refused {
                return Ok(answer);
            }
        }
        Err(silence)
    }

    async fn ask_server(&self, server: &Lines, query: &Bytes, limit: Duration) -> Result<Bytes, AskError> {
        let random = random();
        let Some(line) = server
            .sockets
            .get(usize::from(random[0]) % server.sockets.len().max(1))
        else {
            return self.ask_over_tcp(server, query).await;
        };
        let answer = timeout(limit, line.ask(query, u16::from_be_bytes([random[1], random[2]])))
            .await
            .map_err(|_| AskError::TimedOut)??;
        if message::is_truncated(&answer) {
            return self.ask_over_tcp(server, query).await;
        }
        Ok(answer)
    }

    async fn ask_over_tcp(&self, server: &Lines, query: &Bytes) -> Result<Bytes, AskError> {
        let conversation = async {
            let mut stream = self.dial.dial(server.address).await?;
            let length = u16::try_from(query.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
            stream
                .write_all(&[&length.to_be_bytes()[..], query].concat())
                .await?;
            let mut answer = vec![0; stream.read_u16().await?.into()];
            stream.read_exact(&mut answer).await?;
            io::Result::Ok(answer)
        };
        let answer = timeout(TCP_WITHIN, conversation)
            .await
            .map_err(|_| AskError::TimedOut)?
            .map_err(|_| AskError::Unreachable)?;
        let matches = Query::parse(query)
            .is_ok_and(|query| message::answers(&answer, &query) && answer[..2] == query.id);
        if matches {
            Ok(answer.into())
        } else {
            Err(AskError::Garbled)
        }
    }
}

impl Line {
    /// Sends the query with an ID near `id` that nobody else waits for, and waits.
    async fn ask(&self, query: &Bytes, id: u16) -> Result<Bytes, AskError> {
        let (answer, answered) = oneshot::channel();
        let (seat, query) = self.sit(query, id, answer).ok_or(AskError::Unreachable)?;
        self.socket
            .send(&query)
            .await
            .map_err(|_| AskError::Unreachable)?;
        let answer = answered.await.map_err(|_| AskError::Unreachable)?;
        drop(seat);
        answer
    }

    fn sit(
        &self,
        query: &Bytes,
        id: u16,
        answer: oneshot::Sender<Result<Bytes, AskError>>,
    ) -> Option<(Seat<'_>, Bytes)> {
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
            Seat {
                waiting: &self.waiting,
                id,
            },
            sent,
        ))
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        lock(self.waiting).remove(&self.id);
    }
}

/// Brings each answer on a socket to whoever waits for it.
async fn read(socket: Arc<UdpSocket>, waiting: Waiting) {
    let mut buffer = vec![0; usize::from(u16::MAX)];
    loop {
        match socket.recv(&mut buffer).await {
            Ok(length) => deliver(&buffer[..length], &waiting),
            Err(_) => {
                // Such as "port unreachable": nobody listens there, and waiting on would only take longer.
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

/// Whether another server would be no better: it answered, or said that the name does not exist. A server that fails,
/// cannot or will not is passed over, as glibc and musl do.
fn is_final(answer: &[u8]) -> bool {
    !matches!(message::rcode(answer), Some(2 | 4 | 5))
}

/// Three random bytes. Without randomness (never, once the system is up) the question still is checked.
fn random() -> [u8; 3] {
    let mut bytes = [0; 3];
    if let Err(error) = getrandom::fill(&mut bytes) {
        tracing::warn!(%error, "no randomness for DNS IDs");
    }
    bytes
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
