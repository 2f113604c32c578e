//! Upstreams of the resolver: the agent, the laptop's own name servers, and, before an answer goes out, the lease.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use slipway_helper_api::{Protocol, Upstream, Zones};
use slipway_names::upstream::{self, Dial, Server};
use slipway_names::{Admission, AskError, Asks, NamedBy};
use slipway_tunnel::Tunnel;
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::lease::Reach;

/// How often sockets to name servers that cannot be reached are asked for anew.
const RENEW_EVERY: Duration = Duration::from_secs(1);

/// What the resolver needs of the lease.
#[derive(Debug)]
pub(crate) enum Need {
    /// Routes to addresses of an answer; the reply says of each whether programs may have it.
    Admit {
        addresses: Vec<IpAddr>,
        named_by: NamedBy,
        decided: oneshot::Sender<Vec<Admission>>,
    },
    /// Sockets for TCP to the laptop's name servers: each is good for one connection.
    Sockets,
    /// The domains whose names are to come here, in place of those before.
    Domains(Zones),
    /// All sockets to the laptop's name servers, and whom to tell when they are there.
    NameServers { renewed: oneshot::Sender<()> },
}

/// The resolver's way out.
pub(crate) struct SessionAsks {
    tunnel: Tunnel,
    laptop: RwLock<Option<Arc<upstream::Upstream<Dialler>>>>,
    spare: Arc<Spare>,
    needs: mpsc::Sender<Need>,
    reach: watch::Receiver<Reach>,
    /// When all sockets were asked for last; held while they are.
    renewed: tokio::sync::Mutex<Option<Instant>>,
}

/// Marked sockets that are not connected yet.
#[derive(Default)]
struct Spare(Mutex<VecDeque<(SocketAddr, OwnedFd)>>);

/// Connects with the sockets that the helper marked.
struct Dialler {
    spare: Arc<Spare>,
    needs: mpsc::Sender<Need>,
}

impl SessionAsks {
    pub(crate) fn new(tunnel: Tunnel, needs: mpsc::Sender<Need>, reach: watch::Receiver<Reach>) -> Self {
        Self {
            tunnel,
            laptop: RwLock::default(),
            spare: Arc::default(),
            needs,
            reach,
            renewed: tokio::sync::Mutex::default(),
        }
    }

    async fn ask_laptop(&self, query: Bytes) -> Result<Bytes, AskError> {
        let upstream = self.laptop.read().unwrap_or_else(PoisonError::into_inner).clone();
        match upstream {
            Some(upstream) => upstream.ask(query).await,
            None => Err(AskError::NoServer),
        }
    }

    /// Has all sockets made anew, unless that was done a moment ago. Whether there are newer ones than at `since`.
    async fn renew(&self, since: Instant) -> bool {
        let mut renewed = self.renewed.lock().await;
        if renewed.is_some_and(|at| at > since) {
            return true;
        }
        if renewed.is_some_and(|at| at.elapsed() < RENEW_EVERY) {
            return false;
        }
        let (tell, told) = oneshot::channel();
        let asked = self.needs.send(Need::NameServers { renewed: tell }).await;
        let done = asked.is_ok() && told.await.is_ok();
        *renewed = Some(Instant::now());
        done
    }

    /// Uses these sockets for the laptop's own name servers from now on.
    pub(crate) fn set_laptop(&self, sockets: Vec<Upstream>) {
        let udp = self.keep_spares(sockets);
        let mut servers: Vec<Server> = Vec::new();
        for (address, socket) in udp {
            let socket = match UdpSocket::from_std(socket.into()) {
                Ok(socket) => socket,
                Err(error) => {
                    tracing::warn!(%error, "a socket of the helper's cannot be used");
                    continue;
                }
            };
            match servers.iter_mut().find(|server| server.address == address) {
                Some(server) => server.sockets.push(socket),
                None => servers.push(Server {
                    address,
                    sockets: vec![socket],
                }),
            }
        }
        let dialler = Dialler {
            spare: self.spare.clone(),
            needs: self.needs.clone(),
        };
        let upstream = (!servers.is_empty()).then(|| Arc::new(upstream::Upstream::new(servers, dialler)));
        *self.laptop.write().unwrap_or_else(PoisonError::into_inner) = upstream;
    }

    /// Keeps the sockets for TCP and returns those for UDP.
    pub(crate) fn keep_spares(&self, sockets: Vec<Upstream>) -> Vec<(SocketAddr, OwnedFd)> {
        let (tcp, udp): (Vec<_>, Vec<_>) = sockets
            .into_iter()
            .partition(|socket| socket.protocol == Protocol::Tcp);
        let pair = |socket: Upstream| (socket.server, socket.socket);
        *self.spare.0.lock().unwrap_or_else(PoisonError::into_inner) = tcp.into_iter().map(pair).collect();
        udp.into_iter().map(pair).collect()
    }
}

impl Asks for SessionAsks {
    async fn cluster(&self, query: Bytes) -> Result<Bytes, AskError> {
        self.tunnel.ask(query).await.map_err(|error| match error {
            slipway_tunnel::AskError::TimedOut => AskError::TimedOut,
            slipway_tunnel::AskError::Unreachable | slipway_tunnel::AskError::NoTunnel => {
                AskError::Unreachable
            }
        })
    }

    async fn laptop(&self, query: Bytes) -> Result<Bytes, AskError> {
        let since = Instant::now();
        match self.ask_laptop(query.clone()).await {
            // A connected socket keeps the laptop's address of its first day, which the laptop may not have any more.
            Err(AskError::Unreachable) if self.renew(since).await => self.ask_laptop(query).await,
            outcome => outcome,
        }
    }

    async fn admit(&self, addresses: &[IpAddr], named_by: NamedBy) -> Vec<Admission> {
        let (decided, decision) = oneshot::channel();
        let need = Need::Admit {
            addresses: addresses.to_vec(),
            named_by,
            decided,
        };
        let withhold = || vec![Admission::Withhold; addresses.len()];
        if self.needs.send(need).await.is_err() {
            return withhold();
        }
        // Without a decision the lease has ended, and nothing is routed.
        decision.await.unwrap_or_else(|_| withhold())
    }

    fn why_withheld(&self, address: IpAddr) -> Option<String> {
        self.reach.borrow().withheld.why(address)
    }
}

impl Dial for Dialler {
    async fn dial(&self, server: SocketAddr) -> io::Result<TcpStream> {
        let spare = {
            let mut spare = self.spare.0.lock().unwrap_or_else(PoisonError::into_inner);
            let fitting = spare.iter().position(|(address, _)| *address == server);
            fitting.and_then(|index| spare.remove(index))
        };
        let _one_need_is_enough = self.needs.try_send(Need::Sockets);
        let Some((_, socket)) = spare else {
            return Err(io::Error::other(
                "no socket to this name server is left; more are on their way",
            ));
        };
        TcpSocket::from_std_stream(socket.into()).connect(server).await
    }
}
