//! Name servers of the laptop, reached through the helper's sockets, whose mark exempts them from the redirect.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use bytes::Bytes;
use slipway_helper_api::Protocol;
use slipway_helper_client::Upstream;
use slipway_names::AskError;
use slipway_names::upstream::{self, Dial, Server};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::sync::mpsc;

use crate::need::Need;

/// Handle of the laptop's name servers. Clones share the sockets: the keeper replaces them, the resolver asks.
#[derive(Clone)]
pub(crate) struct NameServers {
    current: Arc<RwLock<Option<Arc<upstream::Upstream<Dialer>>>>>,
    dialer: Dialer,
}

/// Dialer with the spare TCP sockets, each of which serves one connection.
#[derive(Clone)]
struct Dialer {
    spare: Arc<Mutex<VecDeque<(SocketAddr, OwnedFd)>>>,
    needs: mpsc::Sender<Need>,
}

impl NameServers {
    /// Makes a handle without sockets. It requests more TCP sockets through `needs`.
    pub(crate) fn new(needs: mpsc::Sender<Need>) -> Self {
        Self {
            current: Arc::default(),
            dialer: Dialer {
                spare: Arc::default(),
                needs,
            },
        }
    }

    /// Asks the name servers.
    pub(crate) async fn ask(&self, query: Bytes) -> Result<Bytes, AskError> {
        let current = self
            .current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        match current {
            Some(servers) => servers.ask(query).await,
            None => Err(AskError::NoServer),
        }
    }

    /// Replaces all sockets.
    pub(crate) fn replace(&self, sockets: Vec<Upstream>) {
        let mut servers: Vec<Server> = Vec::new();
        for (address, socket) in self.keep_spares(sockets) {
            let socket = match UdpSocket::from_std(socket.into()) {
                Ok(socket) => socket,
                Err(error) => {
                    tracing::warn!(%error, "failed to use a socket from the helper");
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
        let servers =
            (!servers.is_empty()).then(|| Arc::new(upstream::Upstream::new(servers, self.dialer.clone())));
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = servers;
    }

    /// Replaces the TCP sockets, and returns the UDP sockets of the list.
    pub(crate) fn keep_spares(&self, sockets: Vec<Upstream>) -> Vec<(SocketAddr, OwnedFd)> {
        let (tcp, udp): (Vec<_>, Vec<_>) = sockets
            .into_iter()
            .partition(|socket| socket.protocol == Protocol::Tcp);
        let pair = |socket: Upstream| (socket.server, socket.socket);
        *self.dialer.spare() = tcp.into_iter().map(pair).collect();
        udp.into_iter().map(pair).collect()
    }
}

impl Dialer {
    fn spare(&self) -> MutexGuard<'_, VecDeque<(SocketAddr, OwnedFd)>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Dial for Dialer {
    async fn dial(&self, server: SocketAddr) -> io::Result<TcpStream> {
        let spare = {
            let mut spare = self.spare();
            let fitting = spare.iter().position(|(address, _)| *address == server);
            fitting.and_then(|index| spare.remove(index))
        };
        // A full queue already holds such a request.
        drop(self.needs.try_send(Need::Sockets));
        let Some((_, socket)) = spare else {
            return Err(io::Error::other(
                "no socket to this name server is left; the helper opens new ones",
            ));
        };
        TcpSocket::from_std_stream(socket.into()).connect(server).await
    }
}
