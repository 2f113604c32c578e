//! UDP flows of the session: each has its own socket, until no datagram has passed for some time.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use slipway_tunnel::{StreamRefusal, Tunnel};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use crate::dial::refusal;

/// Time without a received datagram after which a flow ends.
const IDLE: Duration = Duration::from_secs(120);

/// Largest number of flows at one time.
const MOST: usize = 4096;

/// Part of a process's descriptors that flows may have: one in this many. Streams leave twice as many.
const SHARE: u64 = 8;

/// Largest payload of a UDP datagram, in bytes.
const MOST_PAYLOAD: usize = 65_507;

/// UDP flows of one session. The task of a flow owns its socket; the table only finds it.
pub(crate) struct Datagrams {
    tunnel: Tunnel,
    most: usize,
    flows: HashMap<u32, Weak<UdpSocket>>,
    tasks: JoinSet<()>,
}

impl Datagrams {
    /// Creates no flow. `descriptors` is the number of descriptors that this process may have.
    pub(crate) fn new(tunnel: Tunnel, descriptors: u64) -> Datagrams {
        Datagrams {
            tunnel,
            most: MOST.min(usize::try_from(descriptors / SHARE).unwrap_or(MOST)),
            flows: HashMap::new(),
            tasks: JoinSet::new(),
        }
    }

    /// Sends a datagram of a flow. The first datagram creates the flow.
    pub(crate) fn send(&mut self, flow: u32, to: SocketAddr, payload: Bytes) {
        while self.tasks.try_join_next().is_some() {}
        let known = self.flows.get(&flow).and_then(Weak::upgrade);
        let known = known.filter(|socket| socket.peer_addr().is_ok_and(|peer| peer == to));
        let socket = match known.map_or_else(|| self.begin(flow, to), Ok) {
            Ok(socket) => socket,
            Err(error) => return self.tunnel.undeliverable(flow, refusal(&error)),
        };
        // Tokio's `try_send` cannot be used: it treats a new socket as not ready until its first event.
        if let Err(error) = SockRef::from(&*socket).send(&payload)
            && error.kind() != io::ErrorKind::WouldBlock
        {
            self.tunnel.undeliverable(flow, refusal(&error));
        }
    }

    fn begin(&mut self, flow: u32, to: SocketAddr) -> io::Result<Arc<UdpSocket>> {
        if self.flows.len() >= self.most {
            self.flows.retain(|_, socket| socket.strong_count() > 0);
        }
        if self.flows.len() >= self.most {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let socket = Arc::new(connect(to)?);
        self.flows.insert(flow, Arc::downgrade(&socket));
        self.tasks
            .spawn(return_answers(self.tunnel.clone(), flow, socket.clone()));
        Ok(socket)
    }
}

fn connect(to: SocketAddr) -> io::Result<UdpSocket> {
    let any: IpAddr = if to.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    let socket = Socket::new(Domain::for_address(to), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::new(any, 0).into())?;
    socket.connect(&to.into())?;
    UdpSocket::from_std(socket.into())
}

async fn return_answers(tunnel: Tunnel, flow: u32, socket: Arc<UdpSocket>) {
    // Sent datagrams do not reset this timeout, so a flow that only sends gets a new socket and port every two minutes.
    let mut payload = vec![0; MOST_PAYLOAD];
    while let Ok(received) = tokio::time::timeout(IDLE, socket.recv(&mut payload)).await {
        match received {
            Ok(length) => tunnel.deliver(flow, Bytes::copy_from_slice(&payload[..length])),
            Err(error) => {
                let refusal = refusal(&error);
                tunnel.undeliverable(flow, refusal);
                if refusal != StreamRefusal::Refused {
                    return;
                }
            }
        }
    }
}
