//! Pings of the session, through the kernel's ping sockets, which need no privilege in a pod whose
//! `net.ipv4.ping_group_range` allows them.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use slipway_tunnel::{Echo, Tunnel};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

const REQUEST_V4: u8 = 8;
const REPLY_V4: u8 = 0;
const REQUEST_V6: u8 = 128;
const REPLY_V6: u8 = 129;

/// Length of type, code, checksum, identifier and sequence number in bytes (RFC 792; RFC 4443 section 4.1).
const HEAD: usize = 8;

/// Sockets for echo requests. A family's socket is missing if the pod may not ping in it.
pub(crate) struct Echoes {
    v4: Option<Arc<Pinger>>,
    v6: Option<Arc<Pinger>>,
}

struct Pinger {
    socket: UdpSocket,
    request: u8,
    reply: u8,
    waiting: Mutex<Waiting>,
}

/// Requests by sequence number. Numbers are reused after 65,536 requests, which bounds the table.
#[derive(Default)]
struct Waiting {
    next: u16,
    requests: HashMap<u16, (u32, IpAddr)>,
}

impl Echoes {
    pub(crate) fn start(tunnel: Tunnel, tasks: &mut JoinSet<()>) -> Echoes {
        let mut start = |domain, protocol, request, reply| match Pinger::new(domain, protocol, request, reply)
        {
            Ok(pinger) => {
                let pinger = Arc::new(pinger);
                tasks.spawn(pinger.clone().return_replies(tunnel.clone()));
                Some(pinger)
            }
            Err(error) => {
                tracing::info!(%error, ?domain, "this pod may not send pings");
                None
            }
        };
        Echoes {
            v4: start(Domain::IPV4, Protocol::ICMPV4, REQUEST_V4, REPLY_V4),
            v6: start(Domain::IPV6, Protocol::ICMPV6, REQUEST_V6, REPLY_V6),
        }
    }

    /// Sends a request. Without a socket for its family it is lost, as any ping may be.
    pub(crate) fn send(&self, echo: &Echo) {
        let pinger = if echo.to.is_ipv4() { &self.v4 } else { &self.v6 };
        if let Some(pinger) = pinger {
            pinger.send(echo);
        }
    }
}

impl Pinger {
    fn new(domain: Domain, protocol: Protocol, request: u8, reply: u8) -> io::Result<Pinger> {
        let socket = Socket::new(domain, Type::DGRAM, Some(protocol))?;
        socket.set_nonblocking(true)?;
        let socket = UdpSocket::from_std(socket.into())?;
        Ok(Pinger {
            socket,
            request,
            reply,
            waiting: Mutex::default(),
        })
    }

    fn send(&self, echo: &Echo) {
        let sequence = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.next = waiting.next.wrapping_add(1);
            let sequence = waiting.next;
            waiting.requests.insert(sequence, (echo.id, echo.to));
            sequence
        };
        // The kernel fills in the identifier and the checksum.
        let mut packet = vec![self.request, 0, 0, 0, 0, 0];
        packet.extend_from_slice(&sequence.to_be_bytes());
        packet.extend_from_slice(&echo.payload);
        // Tokio's `try_send_to` cannot be used: it treats a new socket as not ready until its first event.
        let to = SocketAddr::new(echo.to, 0).into();
        if let Err(error) = SockRef::from(&self.socket).send_to(&packet, &to) {
            tracing::debug!(%error, to = %echo.to, "could not send a ping");
        }
    }

    async fn return_replies(self: Arc<Pinger>, tunnel: Tunnel) {
        let mut packet = vec![0; 64 * 1024];
        loop {
            let (length, from) = match self.socket.recv_from(&mut packet).await {
                Ok(received) => received,
                Err(error) => {
                    tracing::debug!(%error, "a ping failed");
                    continue;
                }
            };
            let Some((head, payload)) = packet[..length].split_first_chunk::<HEAD>() else {
                continue;
            };
            let sequence = u16::from_be_bytes([head[6], head[7]]);
            let asked = {
                let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
                waiting.requests.remove(&sequence)
            };
            if let Some((id, to)) = asked
                && head[0] == self.reply
                && from.ip() == to
            {
                tunnel.echoed(id, Bytes::copy_from_slice(payload));
            }
        }
    }
}
