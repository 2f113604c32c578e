//! TCP: from a held SYN to a carried stream.
//!
//! The pump shows every SYN here and lets in what passes. When the far end has opened a connection, a listener on
//! its port is had in the private namespace, the SYN is let in, and the kernel's handshake makes a socket whose
//! own two names say which connection it is. With rewriting there is one listener, and the port from which a
//! connection seems to come says which it is.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use crate::dropped::Dropped;
use crate::held::{HeldConnections, Ticket, Verdict};
use crate::limits::OPEN_LIMIT;
use crate::packet::{self, Unreachable};
use crate::tasks::Tasks;
use crate::tcp_back_end::TcpBackEnd;
use crate::tun::LaptopTun;
use crate::{FarEnd, Flow, Refusal, Resolver};

/// How many connections may wait for the far end at a time.
const MAX_OPENING: usize = 4096;
/// When a refusal is told by ICMP once more. The program's kernel drops one that comes before `connect()` has let go of
/// its socket (`LockDroppedIcmps`), and asks again only after a second. One too many is of no meaning to it.
const SAY_AGAIN: Duration = Duration::from_millis(20);
/// How long to leave the kernel alone when it gives no more files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// All TCP connections of a capture.
pub(crate) struct Connections<F: FarEnd, R, B> {
    held: Mutex<HeldConnections<Taker<F::Opened>>>,
    back_end: B,
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
    SelfTest,
}

/// Where a connection goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Towards {
    /// To the far end.
    FarEnd,
    /// To the resolver.
    Resolver,
    /// Nowhere: it is ours.
    SelfTest,
}

impl<F: FarEnd, R: Resolver, B: TcpBackEnd> Connections<F, R, B> {
    pub(crate) fn new(
        back_end: B,
        laptop: Arc<LaptopTun>,
        (far, resolver): (F, R),
        dropped: Arc<Dropped>,
        tasks: Tasks,
    ) -> Self {
        Self {
            held: Mutex::new(HeldConnections::new(MAX_OPENING)),
            back_end,
            laptop,
            far,
            resolver,
            dropped,
            tasks,
        }
    }

    /// The back end in use.
    pub(crate) fn back_end(&self) -> &B {
        &self.back_end
    }

    /// Handles a SYN. Returns whether to let it in now.
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

    /// Accepts what comes to these listeners until the capture ends.
    pub(crate) fn accept_on(self: &Arc<Self>, listeners: Vec<TcpListener>) {
        for listener in listeners {
            let this = Arc::clone(self);
            self.tasks.spawn(async move { this.accept(listener).await });
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
        self.back_end.expire(now);
    }

    /// Asks the far end, then lets the SYN in or answers it.
    async fn open(self: Arc<Self>, flow: Flow, towards: Towards, ticket: Ticket) {
        let taker = match towards {
            Towards::Resolver => Ok(Taker::Resolver),
            Towards::SelfTest => Ok(Taker::SelfTest),
            Towards::FarEnd => match timeout(OPEN_LIMIT, self.far.open(flow.to)).await {
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
                    self.admit(flow, syn);
                }
            }
            Err(refusal) => {
                let syn = self.held().refused(flow, ticket);
                if let Some(syn) = syn {
                    self.refuse(&syn, refusal);
                    if refusal.is_icmp() {
                        sleep(SAY_AGAIN).await;
                        self.refuse(&syn, refusal);
                    }
                }
            }
        }
    }

    /// Lets a held SYN in.
    fn admit(&self, flow: Flow, syn: Box<[u8]>) {
        if !self.back_end.admit(Instant::now(), flow, syn) {
            // The program's kernel repeats the SYN, which opens a connection anew.
            self.dropped.connections.count();
            self.reset(flow);
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

    /// Makes sure that a listener gets what is meant for `port`.
    async fn listen(self: &Arc<Self>, port: u16) -> io::Result<()> {
        let this = Arc::clone(self);
        let accept = |listener| self.tasks.spawn(async move { this.accept(listener).await });
        self.back_end.listen(port, accept).await
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
        let Some(flow) = self.back_end.flow_of(&program, from) else {
            return;
        };
        let accepted = self.held().accepted(flow);
        let Some((ticket, taker)) = accepted else {
            return self.back_end.release(from, flow);
        };
        let this = Arc::clone(self);
        self.tasks.spawn(async move {
            match taker {
                Taker::FarEnd(opened) => this.far.carry(opened, flow, program).await,
                Taker::Resolver => this.resolver.serve_tcp(program).await,
                Taker::SelfTest => drop(program),
            }
            this.held().ended(flow, ticket);
            this.back_end.release(from, flow);
        });
    }

    fn held(&self) -> MutexGuard<'_, HeldConnections<Taker<F::Opened>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
