//! DNS listeners on loopback, to which the helper redirects the laptop's questions if systemd-resolved is not used: one
//! for each of the laptop's name servers, so that it is known which server a program asked.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use slipway_helper_api::{MAX_NAME_SERVERS, RedirectPort};
use slipway_names::Transport;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::lease_side::Names;

/// Maximum number of questions and connections that a listener serves at a time; others wait in the sockets.
const AT_ONCE: usize = 1024;

/// Maximum length of a question over UDP, in bytes.
const MOST_QUESTION: usize = 4096;

/// Number of ports to try. A port must be free for UDP and TCP, on IPv4 and IPv6.
const TRIES: usize = 32;

/// Listener for each of the laptop's name servers, in the order of the laptop's list.
#[derive(Debug)]
pub(crate) struct Listeners([Listener; MAX_NAME_SERVERS]);

impl Listeners {
    /// Binds to free ports.
    pub(crate) async fn bind() -> io::Result<Listeners> {
        Ok(Listeners([
            Listener::bind().await?,
            Listener::bind().await?,
            Listener::bind().await?,
        ]))
    }

    /// Returns the ports, in order.
    pub(crate) fn ports(&self) -> [RedirectPort; MAX_NAME_SERVERS] {
        [&self.0[0], &self.0[1], &self.0[2]].map(|listener| listener.port)
    }

    /// Serves until it is dropped.
    pub(crate) async fn serve(self, names: Names) {
        let mut serving = JoinSet::new();
        for (place, listener) in self.0.into_iter().enumerate() {
            serving.spawn(listener.serve(names.in_place_of(place)));
        }
        while serving.join_next().await.is_some() {}
    }
}

/// Sockets on one port of 127.0.0.1 and, if the laptop has IPv6, of ::1.
#[derive(Debug)]
struct Listener {
    port: RedirectPort,
    udp: Vec<UdpSocket>,
    tcp: Vec<TcpListener>,
}

impl Listener {
    /// Binds to a free port.
    async fn bind() -> io::Result<Listener> {
        let mut last = io::Error::from(io::ErrorKind::AddrInUse);
        for _ in 0..TRIES {
            match Listener::try_bind().await {
                Ok(listener) => return Ok(listener),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn try_bind() -> io::Result<Listener> {
        let first = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = first.local_addr()?.port();
        let mut listener = Listener {
            port: RedirectPort::try_from(port).map_err(io::Error::other)?,
            udp: vec![first],
            tcp: vec![TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?],
        };
        let v6 = SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), port);
        match UdpSocket::bind(v6).await {
            Ok(socket) => {
                listener.udp.push(socket);
                listener.tcp.push(TcpListener::bind(v6).await?);
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
            Err(error) => tracing::debug!(%error, "no IPv6 loopback on this laptop"),
        }
        Ok(listener)
    }

    /// Serves until it is dropped.
    async fn serve(self, names: Names) {
        let permits = Arc::new(Semaphore::new(AT_ONCE));
        let mut serving = JoinSet::new();
        for socket in self.udp {
            serving.spawn(serve_udp(Arc::new(socket), names.clone(), permits.clone()));
        }
        for listener in self.tcp {
            serving.spawn(serve_tcp(listener, names.clone(), permits.clone()));
        }
        while serving.join_next().await.is_some() {}
    }
}

async fn serve_udp(socket: Arc<UdpSocket>, names: Names, permits: Arc<Semaphore>) {
    let mut answering = JoinSet::new();
    let mut question = vec![0; MOST_QUESTION];
    let mut answer = Vec::new();
    loop {
        while answering.try_join_next().is_some() {}
        let (length, from) = match socket.recv_from(&mut question).await {
            Ok(received) => received,
            Err(error) => {
                // The error of an earlier answer to a closed port also arrives here (ICMP port unreachable).
                tracing::trace!(%error, "failed to receive a question");
                continue;
            }
        };
        answer.clear();
        if names.try_answer(&question[..length], &mut answer) {
            reply(&socket, &answer, from).await;
            continue;
        }
        let Ok(permit) = permits.clone().acquire_owned().await else {
            return;
        };
        let (socket, names) = (socket.clone(), names.asked_by(from));
        let question = Bytes::copy_from_slice(&question[..length]);
        answering.spawn(async move {
            let answer = names.answer(question, Transport::Udp).await;
            if !answer.is_empty() {
                reply(&socket, &answer, from).await;
            }
            drop(permit);
        });
    }
}

async fn reply(socket: &UdpSocket, answer: &[u8], to: SocketAddr) {
    if let Err(error) = socket.send_to(answer, to).await {
        tracing::trace!(%error, "failed to send an answer");
    }
}

async fn serve_tcp(listener: TcpListener, names: Names, permits: Arc<Semaphore>) {
    let mut serving = JoinSet::new();
    loop {
        while serving.try_join_next().is_some() {}
        let Ok(permit) = permits.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((program, from)) => {
                let names = names.asked_by(from);
                serving.spawn(async move {
                    if let Err(error) = names.serve_tcp(program).await {
                        tracing::trace!(%error, "DNS connection over TCP failed");
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "failed to accept a DNS connection");
                // Probably out of descriptors: wait until another connection ends.
                drop(serving.join_next().await);
            }
        }
    }
}
