//! DNS listener on loopback, to which the helper redirects the laptop's questions if systemd-resolved is not used.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use slipway_names::Transport;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::lease_side::Names;

/// Maximum number of questions and connections that are served at a time; others wait in the sockets.
const AT_ONCE: usize = 1024;

/// Maximum length of a question over UDP, in bytes.
const MOST_QUESTION: usize = 4096;

/// Number of ports to try. A port must be free for UDP and TCP, on IPv4 and IPv6.
const TRIES: usize = 32;

/// Sockets on one port of 127.0.0.1 and, if the laptop has IPv6, of ::1.
#[derive(Debug)]
pub(crate) struct Listener {
    port: u16,
    udp: Vec<UdpSocket>,
    tcp: Vec<TcpListener>,
}

impl Listener {
    /// Binds to a free port.
    pub(crate) async fn bind() -> io::Result<Listener> {
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
            port,
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

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Serves until it is dropped.
    pub(crate) async fn serve(self, names: Names) {
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
        let (socket, names) = (socket.clone(), names.clone());
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
            Ok((program, _)) => {
                let names = names.clone();
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
