//! Server of the helper's socket: one conversation per connection, with limits on number, pace and duration.

use std::collections::HashMap;
use std::convert::Infallible;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use nix::sys::socket::MsgFlags;
use slipway_helper_api::frame::{self, Decoder};
use slipway_helper_api::{
    Build, Hello, HelperRefusal, LeaseAccess, Reply, Request, Version, Welcome, rights,
};
use slipway_laptop::Routing;
use tokio::io::Interest;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::{Id, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::authority::Authority;
use crate::lease::{Lease, Leases};
use crate::peer::Peer;

/// Maximum number of connections at once.
const MAX_CONNECTIONS: usize = 64;
/// Maximum number of connections of one user: 8 leases, and 8 connections without one.
const MAX_CONNECTIONS_EACH: usize = 16;
/// Time limit for a client's Hello.
const HELLO_WAIT: Duration = Duration::from_secs(5);
/// Time limit for the next request of a client without a lease.
const IDLE_WAIT: Duration = Duration::from_secs(300);
/// Time limit for sending a reply.
const REPLY_WAIT: Duration = Duration::from_secs(5);
/// Number of requests that a client may send at once, because many new names at a time mean many routes. After that
/// one request per [`REQUEST_INTERVAL`] is served, and the others wait.
const REQUEST_BURST: u32 = 256;
/// Interval of requests after a burst.
const REQUEST_INTERVAL: Duration = Duration::from_millis(10);
/// Pause between two checks of leases because the laptop's routing changed: changes come in groups, and a lease's own
/// routes are changes too.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);
/// Time limit for the end of all leases when the helper ends.
const END_WAIT: Duration = Duration::from_secs(5);

/// State that all connections share.
pub(crate) struct Server {
    leases: Arc<Leases>,
    authority: Authority,
}

impl Server {
    pub(crate) fn new(leases: Arc<Leases>, authority: Authority) -> Self {
        Self { leases, authority }
    }

    /// Serves until `end`, then ends every lease.
    pub(crate) async fn serve(self, listener: UnixListener, end: impl Future<Output = ()>) {
        let (ending, ended) = watch::channel(false);
        let mut connections: JoinSet<()> = JoinSet::new();
        let mut owners: HashMap<Id, u32> = HashMap::new();
        let (routing, changes) = watch::channel(());
        let watching = watch_routing(routing);
        tokio::pin!(end, watching);
        loop {
            tokio::select! {
                () = &mut end => break,
                never = &mut watching => match never {},
                Some(done) = connections.join_next_with_id() => {
                    owners.remove(&done.map_or_else(|error| error.id(), |(id, ())| id));
                }
                accepted = listener.accept() => {
                    let stream = match accepted {
                        Ok((stream, _)) => stream,
                        Err(error) => {
                            // For example out of descriptors: wait until other connections end.
                            tracing::warn!(%error, "failed to accept a connection");
                            tokio::time::sleep(REQUEST_INTERVAL).await;
                            continue;
                        }
                    };
                    let Ok(peer) = Peer::of(&stream) else { continue };
                    let uid = peer.uid;
                    let crowded = connections.len() >= MAX_CONNECTIONS
                        || owners.values().filter(|owner| **owner == uid).count() >= MAX_CONNECTIONS_EACH;
                    let conversation = Conversation {
                        stream,
                        peer,
                        leases: Arc::clone(&self.leases),
                        authority: self.authority,
                        changes: changes.clone(),
                        allowed: false,
                        lease: None,
                    };
                    if crowded {
                        // A small write into an empty buffer does not wait. The connection ends in any case.
                        let _ = conversation.send(&Reply::Refused(HelperRefusal::Busy), &[]).now_or_never();
                        continue;
                    }
                    let task = connections.spawn(conversation.run(ended.clone()));
                    owners.insert(task.id(), uid);
                }
            }
        }
        let _ = ending.send(true);
        let all = async { while connections.join_next().await.is_some() {} };
        if timeout(END_WAIT, all).await.is_err() {
            tracing::warn!("leases did not end in time; the kernel ends them");
        }
    }
}

/// Publishes changes of the laptop's routing: the first one at once, those of the pause after it together.
async fn watch_routing(changes: watch::Sender<()>) -> Infallible {
    let mut routing = Routing::watch();
    loop {
        routing.changed().await;
        changes.send_replace(());
        sleep(CHECK_INTERVAL).await;
    }
}

/// Conversation with one client.
struct Conversation {
    stream: UnixStream,
    peer: Peer,
    leases: Arc<Leases>,
    authority: Authority,
    /// Changes of the laptop's routing.
    changes: watch::Receiver<()>,
    /// Whether the authority has already allowed a lease on this connection.
    allowed: bool,
    lease: Option<Lease>,
}

/// End of a conversation: the client left, was refused, or broke the protocol.
struct Over;

impl Conversation {
    /// Serves requests until either side ends the conversation, then ends the lease, even after a panic.
    async fn run(mut self, mut ended: watch::Receiver<bool>) {
        let talk = AssertUnwindSafe(self.talk()).catch_unwind();
        let defect = tokio::select! {
            _ = ended.wait_for(|ended| *ended) => false,
            result = talk => result.is_err(),
        };
        if defect {
            tracing::error!(uid = self.peer.uid, "a panic ended a conversation");
            let _ = self.send(&Reply::Refused(HelperRefusal::Defect), &[]).await;
        }
        self.end_lease().await;
    }

    async fn talk(&mut self) -> Result<(), Over> {
        let mut decoder = Decoder::default();
        let Ok(first) = timeout(HELLO_WAIT, receive(&self.stream, &mut decoder)).await else {
            return Err(Over);
        };
        let welcome = self.welcome(first?);
        let refused = matches!(welcome, Reply::Refused(_));
        self.send(&welcome, &[]).await?;
        if refused {
            return Err(Over);
        }
        let mut pace = Pace::new(Instant::now());
        loop {
            let request = if let Some(lease) = &mut self.lease {
                tokio::select! {
                    request = receive(&self.stream, &mut decoder) => request?,
                    Ok(()) = self.changes.changed() => {
                        self.leases.recheck(lease).await.map_err(|_| Over)?;
                        continue;
                    }
                }
            } else {
                timeout(IDLE_WAIT, receive(&self.stream, &mut decoder))
                    .await
                    .map_err(|_| Over)??
            };
            sleep_until(pace.next(Instant::now())).await;
            // A client that does not wait for the reply is gone, or breaks the protocol.
            let stream = &self.stream;
            let (reply, fds) = tokio::select! {
                biased;
                answer = answer(&self.leases, self.authority, &self.peer, &mut self.allowed, &mut self.lease, request) => answer,
                () = readable_or_closed(stream) => return Err(Over),
            };
            let fds: Vec<BorrowedFd<'_>> = fds.iter().map(AsFd::as_fd).collect();
            self.send(&reply, &fds).await?;
            if matches!(reply, Reply::Refused(HelperRefusal::Defect)) {
                return Err(Over);
            }
        }
    }

    fn welcome(&self, first: Request) -> Reply {
        let Request::Hello(Hello {
            epoch,
            revision,
            build,
        }) = first
        else {
            return Reply::Refused(HelperRefusal::OutOfOrder);
        };
        let client = Version { epoch, revision };
        if !Version::OURS.serves(client) {
            return Reply::Refused(HelperRefusal::VersionMismatch {
                client,
                client_build: build,
                helper: Version::OURS,
                helper_build: Build::ours(),
            });
        }
        match self.authority.admits(self.peer.uid) {
            Ok(()) => Reply::Welcome(Welcome {
                version: Version::OURS,
                build: Build::ours(),
            }),
            Err(refusal) => {
                tracing::info!(uid = self.peer.uid, "user refused");
                Reply::Refused(refusal)
            }
        }
    }

    async fn send(&self, reply: &Reply, fds: &[BorrowedFd<'_>]) -> Result<(), Over> {
        let frame = frame::encode(reply).map_err(|error| {
            tracing::error!(%error, "reply does not fit a frame");
            Over
        })?;
        match timeout(REPLY_WAIT, rights::send(&self.stream, &frame, fds)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Over),
        }
    }

    async fn end_lease(&mut self) {
        if let Some(lease) = self.lease.take() {
            end(&self.leases, self.peer.uid, lease).await;
        }
    }
}

/// Receives the next request. Cancel-safe: bytes of an incomplete one stay in the decoder.
async fn receive(stream: &UnixStream, decoder: &mut Decoder) -> Result<Request, Over> {
    let mut bytes = [0; 4096];
    loop {
        match decoder.message() {
            Ok(Some(request)) => return Ok(request),
            Ok(None) => {}
            Err(error) => {
                tracing::info!(%error, "client sent an invalid message");
                return Err(Over);
            }
        }
        // With a plain read the kernel closes descriptors that a client sends along.
        stream.readable().await.map_err(|_| Over)?;
        match stream.try_read(&mut bytes) {
            Ok(0) => return Err(Over),
            Ok(read) => decoder.push(bytes.get(..read).unwrap_or_default()),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return Err(Over),
        }
    }
}

/// Waits until the client sends bytes or closes the connection.
async fn readable_or_closed(stream: &UnixStream) {
    // Peek, because tokio's readiness may stem from bytes that were read before.
    let peek = || {
        Ok(nix::sys::socket::recv(
            stream.as_raw_fd(),
            &mut [0],
            MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT,
        )?)
    };
    let _: std::io::Result<usize> = stream.async_io(Interest::READABLE, peek).await;
}

/// Serves a request and returns its reply with the descriptors that travel with it.
async fn answer(
    leases: &Leases,
    authority: Authority,
    peer: &Peer,
    allowed: &mut bool,
    lease: &mut Option<Lease>,
    request: Request,
) -> (Reply, Vec<OwnedFd>) {
    let uid = peer.uid;
    let refused = |refusal: HelperRefusal| {
        tracing::info!(
            uid,
            code = refusal.code(),
            cause = refusal.cause(),
            "request refused"
        );
        (Reply::Refused(refusal), Vec::new())
    };
    match request {
        Request::Hello(_) => refused(HelperRefusal::OutOfOrder),
        Request::Status => {
            let access = if *allowed {
                LeaseAccess::Granted
            } else {
                authority.would_allow(peer).await
            };
            let status = leases.status(uid, lease.as_ref(), access).await;
            (Reply::Status(status), Vec::new())
        }
        Request::Up(_) if lease.is_some() => refused(HelperRefusal::LeaseExists),
        Request::Up(up) => {
            if !*allowed && let Err(refusal) = authority.allows(peer).await {
                return refused(refusal);
            }
            *allowed = true;
            let routes = up.routes.len();
            match leases.up(uid, up).await {
                Ok((new, granted, fds)) => {
                    let mode = granted.dns.as_ref().map(|dns| dns.mode.to_string());
                    tracing::info!(uid, slot = %new.slot(), device = granted.tun_name, routes, mode, "lease up");
                    *lease = Some(new);
                    (Reply::Up(granted), fds)
                }
                Err(refusal) => refused(refusal),
            }
        }
        Request::Update(change) => {
            let Some(lease) = lease else {
                return refused(HelperRefusal::NoLease);
            };
            let (added, removed) = (change.add.len(), change.remove.len());
            match leases.update(lease, change).await {
                Ok((updated, fds)) => {
                    tracing::debug!(uid, slot = %lease.slot(), added, removed, "lease changed");
                    (Reply::Updated(updated), fds)
                }
                Err(refusal) => refused(refusal),
            }
        }
        Request::Down => match lease.take() {
            Some(lease) => (Reply::Down(end(leases, uid, lease).await), Vec::new()),
            None => refused(HelperRefusal::NoLease),
        },
    }
}

async fn end(leases: &Leases, uid: u32, lease: Lease) -> slipway_helper_api::Tally {
    let slot = lease.slot();
    let tally = leases.end(lease).await;
    tracing::info!(uid, %slot, routes = tally.routes, "lease down");
    tally
}

/// Token bucket that limits the pace of requests.
struct Pace {
    /// Time at which the bucket is full again.
    full: Instant,
}

impl Pace {
    fn new(now: Instant) -> Self {
        Self { full: now }
    }

    /// Takes a token and returns the time from which the request may be served.
    fn next(&mut self, now: Instant) -> Instant {
        self.full = self.full.max(now) + REQUEST_INTERVAL;
        let burst = REQUEST_INTERVAL * REQUEST_BURST;
        self.full.checked_sub(burst).unwrap_or(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_a_flood_waits() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        for _ in 0..REQUEST_BURST {
            assert!(pace.next(start) <= start);
        }
        for n in 1..=10 {
            assert_eq!(pace.next(start), start + REQUEST_INTERVAL * n);
        }
        let later = start + REQUEST_INTERVAL * (REQUEST_BURST + 10);
        assert!(pace.next(later) <= later, "the bucket fills again");
    }
}
