//! Upstream sockets: to the laptop's own name servers, marked so that redirects let them pass.
//!
//! A session cannot set marks itself. The sockets give it no other power: any program may ask name servers.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use slipway_helper_api::{Protocol, UpstreamName};
use socket2::{Domain, Socket, Type};

use crate::refuse::errno;

/// Number of UDP sockets for each server. An attacker who forges answers must guess among their source ports (RFC
/// 5452).
const UDP_EACH: usize = 4;
/// Minimum number of TCP sockets, for answers that do not fit a datagram. Each server has one at least.
const TCP_LEAST: usize = 2;

/// Upstream sockets, and the servers without a route.
#[derive(Debug, Default)]
pub(crate) struct Upstreams {
    pub(crate) names: Vec<UpstreamName>,
    pub(crate) sockets: Vec<OwnedFd>,
    pub(crate) unreachable: Vec<SocketAddr>,
}

impl Upstreams {
    /// Opens sockets to the servers, with this mark.
    pub(crate) fn open(servers: &[SocketAddr], mark: u32) -> Result<Self, Errno> {
        let mut upstreams = Self::default();
        for server in servers {
            match udp(*server, mark) {
                Ok(sockets) => upstreams.extend(*server, Protocol::Udp, sockets),
                Err(
                    Errno::ENETUNREACH
                    | Errno::EHOSTUNREACH
                    | Errno::EADDRNOTAVAIL
                    | Errno::EAFNOSUPPORT
                    | Errno::ENODEV,
                ) => {
                    upstreams.unreachable.push(*server);
                }
                Err(errno) => return Err(errno),
            }
        }
        let reachable: Vec<_> = servers
            .iter()
            .filter(|server| !upstreams.unreachable.contains(server))
            .copied()
            .collect();
        for server in reachable.iter().cycle().take(if reachable.is_empty() {
            0
        } else {
            TCP_LEAST.max(reachable.len())
        }) {
            let socket = marked(*server, Type::STREAM, mark).map_err(|error| errno(&error))?;
            upstreams.extend(*server, Protocol::Tcp, vec![socket.into()]);
        }
        Ok(upstreams)
    }

    fn extend(&mut self, server: SocketAddr, protocol: Protocol, sockets: Vec<OwnedFd>) {
        self.names
            .extend(sockets.iter().map(|_| UpstreamName { server, protocol }));
        self.sockets.extend(sockets);
    }
}

fn udp(server: SocketAddr, mark: u32) -> Result<Vec<OwnedFd>, Errno> {
    let connected = |_| {
        let socket = marked(server, Type::DGRAM, mark)?;
        socket.connect(&server.into())?;
        Ok(socket.into())
    };
    (0..UDP_EACH)
        .map(connected)
        .collect::<std::io::Result<_>>()
        .map_err(|error| errno(&error))
}

fn marked(server: SocketAddr, kind: Type, mark: u32) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(server), kind.nonblocking().cloexec(), None)?;
    socket.set_mark(mark)?;
    Ok(socket)
}
