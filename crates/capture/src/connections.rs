//! TCP connections, from a held SYN to a carried stream.
//!
//! The pump passes every SYN to [`Connections::syn`]. When the far end has opened the connection, the back end
//! provides a listener and lets the SYN in. The kernel's handshake makes a socket, and the back end tells which
//! connection an accepted socket belongs to.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use crate::descriptors::{self, Reserve};
use crate::dropped::Dropped;
use crate::held::{HeldConnections, Ticket, Verdict};
use crate::limits::OPEN_LIMIT;
use crate::packet::{self, Unreachable};
use crate::tasks::Tasks;
use crate::tcp_back_end::TcpBackEnd;
use crate::tun::LaptopTun;
use crate::{ConnectRefusal, DnsService, FarEnd, Flow};

/// How many connections may wait for the far end at a time.
const MAX_OPENING: usize = 4096;
/// The time after which an ICMP refusal is sent again. The program's kernel drops one that arrives while `connect()`
/// holds its socket (`LockDroppedIcmps`), and repeats the SYN only after a second. It ignores a second refusal.
const SAY_AGAIN: Duration = Duration::from_millis(20);
/// The pause after `accept()` failed, as it does when there are no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// All TCP connections of a capture.
pub(crate) struct Connections<F: FarEnd, R, B> {
    held: Mutex<HeldConnections<Recipient<F::Opened>>>,
    back_end: B,
    laptop: Arc<LaptopTun>,
    far: F,
    resolver: R,
    dropped: Arc<Dropped>,
    reserve: Reserve,
    tasks: Tasks,
}

/// The recipient of the program's stream.
enum Recipient<O> {
    FarEnd(O),
    DnsService,
    SelfTest,
}

/// The destination of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Destination {
    /// To the far end.
    FarEnd,
    /// To the resolver.
    DnsService,
    /// Nowhere: the back end's self-test made it.
    SelfTest,
}

impl<F: FarEnd, R: DnsService, B: TcpBackEnd> Connections<F, R, B> {
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
            reserve: Reserve::new(),
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
        destination: Destination,
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
                    .spawn(async move { this.open(flow, destination, ticket).await });
                false
            }
        }
    }

    /// Accepts connections on these listeners until the capture ends.
    pub(crate) fn accept_on(self: &Arc<Self>, listeners: Vec<TcpListener>) {
        for listener in listeners {
            let this = Arc::clone(self);
            self.tasks.spawn(async move { this.accept(listener).await });
        }
    }

    /// Handles a reset from the program, which is let in as well.
    pub(crate) fn reset(&self, flow: Flow) {
        let opened = self.held().reset(flow);
        drop(opened);
    }

    /// Forgets connections whose program never completed the handshake.
    pub(crate) fn expire(&self, now: Instant) {
        let opened = self.held().expire(now);
        drop(opened);
        self.back_end.expire(now);
    }

    /// Asks the far end to open the connection, then lets the SYN in or answers it.
    async fn open(self: Arc<Self>, flow: Flow, destination: Destination, ticket: Ticket) {
        let recipient = match destination {
            Destination::DnsService => Ok(Recipient::DnsService),
            Destination::SelfTest => Ok(Recipient::SelfTest),
            Destination::FarEnd => match timeout(OPEN_LIMIT, self.far.open(flow.to)).await {
                Ok(Ok(opened)) => Ok(Recipient::FarEnd(opened)),
                Ok(Err(refusal)) => Err(refusal),
                Err(_) => Err(ConnectRefusal::TimedOut),
            },
        };
        let recipient = match recipient {
            Ok(recipient) => match self.listen(flow.to.port()).await {
                Ok(()) => Ok(recipient),
                Err(error) => {
                    tracing::warn!(port = flow.to.port(), %error, "the back end has no listener for a port");
                    Err(ConnectRefusal::Refused)
                }
            },
            Err(refusal) => Err(refusal),
        };
        match recipient {
            Ok(recipient) => {
                let syn = self.held().opened(Instant::now(), flow, ticket, recipient);
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
    pub(crate) fn refuse(&self, syn: &[u8], refusal: ConnectRefusal) {
        let mut answer = Vec::new();
        let written = match refusal {
            ConnectRefusal::Refused => packet::write_reset(&mut answer, syn),
            ConnectRefusal::HostUnreachable => packet::write_unreachable(&mut answer, Unreachable::Host, syn),
            ConnectRefusal::NetworkUnreachable => {
                packet::write_unreachable(&mut answer, Unreachable::Network, syn)
            }
            ConnectRefusal::Prohibited => {
                packet::write_unreachable(&mut answer, Unreachable::Prohibited, syn)
            }
            ConnectRefusal::TimedOut => return,
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
                // The program closed the connection after its handshake.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    let is_reset = descriptors::are_used_up(&error)
                        && self
                            .reserve
                            .accept(&listener, |program, from| self.close(program, from));
                    tracing::warn!(%error, is_reset, "could not accept a connection");
                    if !is_reset {
                        sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        }
    }

    /// Gives an accepted socket to its recipient. A socket for which nothing was opened is closed.
    fn carry(self: &Arc<Self>, program: TcpStream, from: SocketAddr) {
        let Some(flow) = self.back_end.flow_of(&program, from) else {
            return;
        };
        let accepted = self.held().accepted(flow);
        let Some((ticket, recipient)) = accepted else {
            return self.back_end.release(from, flow);
        };
        let this = Arc::clone(self);
        self.tasks.spawn(async move {
            match recipient {
                Recipient::FarEnd(opened) => this.far.carry(opened, flow, program).await,
                Recipient::DnsService => this.resolver.serve_tcp(program).await,
                Recipient::SelfTest => drop(program),
            }
            this.held().ended(flow, ticket);
            this.back_end.release(from, flow);
        });
    }

    /// Resets a connection for which there is no descriptor, and closes what was opened for it.
    fn close(&self, program: TcpStream, from: SocketAddr) {
        let flow = self.back_end.flow_of(&program, from);
        // Closing with a linger time of zero sends a reset.
        let _ = SockRef::from(&program).set_linger(Some(Duration::ZERO));
        drop(program);
        let Some(flow) = flow else { return };
        let accepted = self.held().accepted(flow);
        if let Some((ticket, opened)) = accepted {
            drop(opened);
            self.held().ended(flow, ticket);
        }
        self.back_end.release(from, flow);
    }

    fn held(&self) -> MutexGuard<'_, HeldConnections<Recipient<F::Opened>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
