//! Name servers of the laptop, reached through the helper's sockets, whose mark exempts them from the redirect.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use bytes::Bytes;
use slipway_helper_api::{DnsGranted, Protocol};
use slipway_helper_client::Upstream;
use slipway_names::upstream::{self, Dial, Server};
use slipway_names::{Addressee, AskError, LAPTOP_WITHIN};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::sync::mpsc;

use crate::need::Need;

/// Handle of the laptop's name servers. Clones share the sockets: the keeper replaces them, the resolver asks.
#[derive(Clone)]
pub(crate) struct NameServers {
    current: Arc<RwLock<Current>>,
    dialer: Dialer,
}

/// Client of the name servers.
#[derive(Default)]
struct Current {
    client: Option<Arc<upstream::Upstream<Dialer>>>,
    /// The servers in order, each with the laptop's address from which its sockets ask it, if it has some.
    servers: Vec<(SocketAddr, Option<IpAddr>)>,
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

    /// Asks the name servers, or one of them.
    pub(crate) async fn ask(&self, query: Bytes, addressee: Addressee) -> Result<Bytes, AskError> {
        let client = self.current().client.clone();
        match client {
            Some(servers) => servers.ask(query, addressee).await,
            None => Err(AskError::NoServer),
        }
    }

    /// Returns whether these are the servers, in this order.
    pub(crate) fn are(&self, addresses: &[SocketAddr]) -> bool {
        let current = self.current();
        let servers = current.servers.iter().map(|(server, _)| server);
        servers.eq(addresses)
    }

    /// Returns the servers that the laptop would now ask from another address than their sockets do, each with that
    /// address; `None` if there is no way to the server.
    pub(crate) fn moved(&self) -> Vec<(SocketAddr, Option<IpAddr>)> {
        let servers = self.current().servers.clone();
        let now = |(server, used): (SocketAddr, Option<IpAddr>)| {
            let source = source_of(server).ok();
            (used.is_some() && source != used).then_some((server, source))
        };
        servers.into_iter().filter_map(now).collect()
    }

    fn current(&self) -> RwLockReadGuard<'_, Current> {
        self.current.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces the servers and all sockets. Questions on the way still get their answers.
    pub(crate) fn replace(&self, granted: Option<&DnsGranted>, sockets: Vec<Upstream>) {
        let mut servers: Vec<Server> = granted
            .iter()
            .flat_map(|granted| &granted.servers)
            .map(|address| Server {
                address: *address,
                sockets: Vec::new(),
            })
            .collect();
        for (address, socket) in self.keep_spares(sockets) {
            let server = servers.iter_mut().find(|server| server.address == address);
            match (server, UdpSocket::from_std(socket.into())) {
                (Some(server), Ok(socket)) => server.sockets.push(socket),
                (Some(_), Err(error)) => tracing::warn!(%error, "failed to use a socket from the helper"),
                (None, _) => tracing::warn!(%address, "the helper sent a socket to an unknown server"),
            }
        }
        let source = |server: &Server| Some(server.sockets.first()?.local_addr().ok()?.ip());
        let sources = servers
            .iter()
            .map(|server| (server.address, source(server)))
            .collect();
        let client = granted.filter(|_| !servers.is_empty()).map(|granted| {
            let patience = patience(granted.laptop_timeout);
            Arc::new(upstream::Upstream::new(servers, patience, self.dialer.clone()))
        });
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Current {
            client,
            servers: sources,
        };
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

/// Returns how long a server that a program asked has for its answer. The C library waits for the third server up to a
/// third longer than `options timeout` says (`send_dg` in its res_send.c).
fn patience(timeout: u8) -> Duration {
    LAPTOP_WITHIN.max(Duration::from_secs(u64::from(timeout) * 4 / 3))
}

/// Returns the laptop's address from which a new socket would ask a server, by the kernel's present routes. Sends
/// nothing.
fn source_of(server: SocketAddr) -> io::Result<IpAddr> {
    let any: IpAddr = if server.is_ipv6() {
        Ipv6Addr::UNSPECIFIED.into()
    } else {
        Ipv4Addr::UNSPECIFIED.into()
    };
    let socket = std::net::UdpSocket::bind((any, 0))?;
    socket.connect(server)?;
    Ok(socket.local_addr()?.ip())
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

#[cfg(test)]
mod tests {
    use slipway_names::ADDRESSED_WITHIN;

    use slipway_helper_api::DnsMode;

    use super::*;

    fn granted(servers: Vec<SocketAddr>) -> DnsGranted {
        DnsGranted {
            mode: DnsMode::Redirect,
            servers,
            laptop_search: Vec::new(),
            laptop_ndots: 1,
            laptop_timeout: 5,
            upstreams: Vec::new(),
        }
    }

    fn upstream(server: SocketAddr, from: [u8; 4]) -> Upstream {
        let socket = std::net::UdpSocket::bind((Ipv4Addr::from(from), 0)).unwrap();
        socket.connect(server).unwrap();
        socket.set_nonblocking(true).unwrap();
        Upstream {
            server,
            protocol: Protocol::Udp,
            socket: socket.into(),
        }
    }

    #[tokio::test]
    async fn sockets_that_take_another_way_are_found() {
        let [reached, without, moved] =
            [1, 2, 3].map(|last| SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), 53)));
        let servers = NameServers::new(mpsc::channel(1).0);
        assert!(servers.moved().is_empty() && servers.are(&[]));
        let home = [127, 0, 0, 1];
        let all = vec![reached, without, moved];
        servers.replace(
            Some(&granted(all.clone())),
            vec![upstream(reached, home), upstream(moved, [127, 0, 0, 9])],
        );
        assert!(servers.are(&all) && !servers.are(&all[..2]));
        assert_eq!(servers.moved(), [(moved, source_of(moved).ok())]);
        servers.replace(Some(&granted(vec![reached])), vec![upstream(reached, home)]);
        assert_eq!(servers.moved(), []);
    }

    #[test]
    fn a_server_has_as_long_as_programs_wait() {
        assert_eq!(patience(1), LAPTOP_WITHIN);
        assert_eq!(patience(5), LAPTOP_WITHIN);
        assert_eq!(patience(15), Duration::from_secs(20));
        assert_eq!(patience(30), ADDRESSED_WITHIN);
    }
}
