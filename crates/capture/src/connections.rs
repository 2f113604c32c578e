//! TCP: from a held SYN to a carried stream.
//!
//! The pump shows every SYN here and lets in what passes. When the far end has opened a connection, a listener on
//! its port is had in the private namespace, the SYN is let in, and the kernel's handshake makes a socket whose
//! own two names say which connection it is.

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lru::LruCache;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::dropped::Dropped;
use crate::held::{HeldConnections, Ticket, Verdict};
use crate::packet::{self, Unreachable};
use crate::private_namespace::PrivateNamespace;
use crate::tasks::Tasks;
use crate::tun::{LaptopTun, Tun};
use crate::{Capture, FarEnd, Flow, Refusal, Resolver};

/// How many connections may wait for the far end at a time.
const MAX_OPENING: usize = 4096;
/// How many ports are listened on at a time. Beyond that the one asked for longest ago is closed; its open
/// connections go on, and it is opened again when it is needed.
const MAX_LISTENERS: NonZeroUsize = NonZeroUsize::new(512).unwrap();
/// How long to leave the kernel alone when it gives no more files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// All TCP connections of a capture.
pub(crate) struct Connections<F: FarEnd, R> {
    held: Mutex<HeldConnections<Taker<F::Opened>>>,
    listeners: tokio::sync::Mutex<Listeners>,
    private: Arc<Tun>,
    laptop: Arc<LaptopTun>,
    far: F,
    resolver: R,
    dropped: Arc<Dropped>,
    tasks: Tasks,
}

/// Who gets the program's stream.
enum Taker<O> {
    FarEnd(O),
    Resolver,
}

/// Where a connection goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Towards {
    /// To the far end.
    FarEnd,
    /// To the resolver.
    Resolver,
}

struct Listeners {
    namespace: PrivateNamespace,
    /// The tasks that accept. The end of one closes its port.
    open: LruCache<u16, JoinHandle<()>>,
}

impl<F: FarEnd, R: Resolver> Connections<F, R> {
    pub(crate) fn new(
        namespace: PrivateNamespace,
        private: Arc<Tun>,
        laptop: Arc<LaptopTun>,
        (far, resolver): (F, R),
        dropped: Arc<Dropped>,
        tasks: Tasks,
    ) -> Self {
        Self {
            held: Mutex::new(HeldConnections::new(MAX_OPENING)),
            listeners: tokio::sync::Mutex::new(Listeners {
                namespace,
                open: LruCache::new(MAX_LISTENERS),
            }),
            private,
            laptop,
            far,
            resolver,
            dropped,
            tasks,
        }
    }

    /// Sees to a SYN. Whether it is to be let in now.
    pub(crate) fn syn(
        self: &Arc<Self>,
        flow: Flow,
        towards: Towards,
        initial_seq: u32,
        packet: &[u8],
    ) -> bool {
        let verdict = self.held().syn(flow, initial_seq, packet);
        match verdict {
            Verdict::Pass => true,
            Verdict::Swallow => false,
            Verdict::Full => {
                self.dropped.connections.count();
                false
            }
            Verdict::Open(ticket) => {
                let this = Arc::clone(self);
                self.tasks
                    .spawn(async move { this.open(flow, towards, ticket).await });
                false
            }
        }
    }

    /// Sees to a reset from the program, which is let in as well.
    pub(crate) fn reset(&self, flow: Flow) {
        let opened = self.held().reset(flow);
        drop(opened);
    }

    /// Forgets what no program came for.
    pub(crate) fn expire(&self, now: Instant) {
        let opened = self.held().expire(now);
        drop(opened);
    }

    /// Asks the far end, then lets the SYN in or answers it.
    async fn open(self: Arc<Self>, flow: Flow, towards: Towards, ticket: Ticket) {
        let taker = match towards {
            Towards::Resolver => Ok(Taker::Resolver),
            Towards::FarEnd => match timeout(Capture::OPEN_LIMIT, self.far.open(flow.to)).await {
                Ok(Ok(opened)) => Ok(Taker::FarEnd(opened)),
                Ok(Err(refusal)) => Err(refusal),
                Err(_) => Err(Refusal::TimedOut),
            },
        };
        let taker = match taker {
            Ok(taker) => match self.listen(flow.to.port()).await {
                Ok(()) => Ok(taker),
                Err(error) => {
                    tracing::warn!(port = flow.to.port(), %error, "the private namespace gives no listener");
                    Err(Refusal::Refused)
                }
            },
            Err(refusal) => Err(refusal),
        };
        match taker {
            Ok(taker) => {
                let syn = self.held().opened(Instant::now(), flow, ticket, taker);
                if let Ok(syn) = syn {
                    self.private.write(&syn);
                }
            }
            Err(refusal) => {
                let syn = self.held().refused(flow, ticket);
                if let Some(syn) = syn {
                    self.refuse(&syn, refusal);
                }
            }
        }
    }

    /// Answers a SYN that is not let in.
    pub(crate) fn refuse(&self, syn: &[u8], refusal: Refusal) {
        let mut answer = Vec::new();
        let written = match refusal {
            Refusal::Refused => packet::write_reset(&mut answer, syn),
            Refusal::HostUnreachable => packet::write_unreachable(&mut answer, Unreachable::Host, syn),
            Refusal::NetworkUnreachable => packet::write_unreachable(&mut answer, Unreachable::Network, syn),
            Refusal::Prohibited => packet::write_unreachable(&mut answer, Unreachable::Prohibited, syn),
            Refusal::TimedOut => return,
        };
        if written.is_ok() {
            self.laptop.write(&answer);
        }
    }

    /// Makes sure that somebody listens on `port` in the private namespace.
    async fn listen(self: &Arc<Self>, port: u16) -> io::Result<()> {
        let mut listeners = self.listeners.lock().await;
        if listeners.open.get(&port).is_some() {
            return Ok(());
        }
        let listener = listeners.namespace.listener(port).await?;
        let this = Arc::clone(self);
        let accepting = self.tasks.spawn(async move { this.accept(listener).await });
        if let Some((_, oldest)) = listeners.open.push(port, accepting) {
            oldest.abort();
            // Its port can be listened on again only when it is closed.
            let _ = oldest.await;
        }
        Ok(())
    }

    async fn accept(self: Arc<Self>, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((program, from)) => self.carry(program, from),
                // The program went away between its handshake and now.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    tracing::warn!(%error, "a connection waits to be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Joins an accepted socket with what was opened for it. One that nothing was opened for is closed.
    fn carry(self: &Arc<Self>, program: TcpStream, from: SocketAddr) {
        let Ok(to) = program.local_addr() else { return };
        let flow = Flow {
            from: plain(from),
            to: plain(to),
        };
        let accepted = self.held().accepted(flow);
        let Some((ticket, taker)) = accepted else { return };
        let this = Arc::clone(self);
        self.tasks.spawn(async move {
            match taker {
                Taker::FarEnd(opened) => this.far.carry(opened, program).await,
                Taker::Resolver => this.resolver.serve_tcp(program).await,
            }
            this.held().ended(flow, ticket);
        });
    }

    fn held(&self) -> MutexGuard<'_, HeldConnections<Taker<F::Opened>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An address as it is in packets: a listener for both families shows IPv4 as IPv6 (RFC 4291 section 2.5.5.2).
fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
