//! Listener for DNS on loopback: the helper redirects the laptop's questions here where its resolver cannot be configured.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use slipway_names::Transport;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::lease_side::Names;

/// Questions and connections that are served at one time; more of them wait in the sockets.
const AT_ONCE: usize = 1024;

/// The longest question that is taken.
const MOST_QUESTION: usize = 4096;

/// How often a port is tried that has to be free four times.
const TRIES: usize = 32;

/// Sockets on one port of 127.0.0.1 and, where there is IPv6, of ::1.
#[derive(Debug)]
pub(crate) struct Listener {
    port: u16,
    udp: Vec<UdpSocket>,
    tcp: Vec<TcpListener>,
}

impl Listener {
    /// Takes a free port.
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
            Err(error) => tracing::debug!(%error, "this laptop has no IPv6 loopback"),
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
                // An answer that nobody waited for comes back as an error here (ICMP port unreachable).
                tracing::trace!(%error, "a question could not be taken");
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
        tracing::trace!(%error, "an answer could not be sent");
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
                        tracing::trace!(%error, "a program's questions over TCP ended");
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                // Out of descriptors, most likely: one of those in use has to end first.
                drop(serving.join_next().await);
            }
        }
    }
}
