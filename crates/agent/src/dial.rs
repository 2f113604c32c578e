//! TCP connections of the session. One whose peer vanished is reset, as soon as the agent knows.

use std::io;
use std::time::Duration;

use slipway_tunnel::{OpenRequest, StreamRefusal, splice};
use socket2::SockRef;
use tokio::net::TcpStream;

use crate::vanished::{keep_alive, vanished};

/// Limit for a connection: about that of Linux, and less than the client's.
const DIAL_LIMIT: Duration = Duration::from_secs(120);

/// Connects as the client requested, reports the result, and moves bytes until both ends have finished.
pub(crate) async fn dial(request: OpenRequest) {
    let connecting = tokio::time::timeout(DIAL_LIMIT, TcpStream::connect(request.to));
    let connected = tokio::select! {
        connected = connecting => connected.unwrap_or_else(|_| Err(io::Error::from_raw_os_error(libc::ETIMEDOUT))),
        () = request.given_up() => return,
    };
    match connected {
        Ok(socket) => carry(request, &socket).await,
        Err(error) => {
            let refusal = refusal(&error);
            tracing::debug!(to = %request.to, %error, ?refusal, "connection failed");
            request.refuse(refusal);
        }
    }
}

async fn carry(request: OpenRequest, socket: &TcpStream) {
    if let Err(error) = keep_alive(socket) {
        tracing::debug!(%error, "could not set keep-alive");
    }
    let to = request.to;
    tokio::select! {
        () = splice(request.accept(), socket) => {}
        // The stream is dropped here, which resets it.
        () = vanished(socket) => {
            tracing::info!(%to, "a peer vanished");
            // Without a linger time of zero the kernel would go on sending to it.
            let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
        }
    }
}

/// Converts an error of `connect(2)` to a refusal, which the laptop's program gets as the same error.
pub(crate) fn refusal(error: &io::Error) -> StreamRefusal {
    match error.raw_os_error() {
        Some(libc::ECONNREFUSED | libc::ECONNRESET) => StreamRefusal::Refused,
        Some(libc::ENETUNREACH | libc::EADDRNOTAVAIL | libc::EAFNOSUPPORT) => {
            StreamRefusal::NetworkUnreachable
        }
        Some(libc::ETIMEDOUT) => StreamRefusal::TimedOut,
        Some(libc::EACCES | libc::EPERM) => StreamRefusal::Prohibited,
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => StreamRefusal::Exhausted,
        Some(_) | None => StreamRefusal::HostUnreachable,
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use slipway_tunnel::{Limits, Request, Tunnel};
    use tokio::net::TcpSocket;
    use tokio::task::JoinSet;
    use tokio::time::Instant;

    use super::*;

    /// Returns an address that accepts a SYN and never answers it: a listener whose queue is full, with its connections.
    async fn black_hole() -> (SocketAddr, Vec<TcpStream>, tokio::net::TcpListener) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut waiting = Vec::new();
        while let Ok(connected) =
            tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(address)).await
        {
            waiting.push(connected.unwrap());
        }
        (address, waiting, listener)
    }

    #[tokio::test]
    async fn a_silent_address_is_given_up_before_the_client_does() {
        let (address, _queued, _listener) = black_hole().await;
        let (client, _events) = Tunnel::client(Limits::default());
        let (agent, mut requests) = Tunnel::agent(Limits::default());
        let (near, far) = tokio::io::duplex(64 * 1024);
        let mut tasks = JoinSet::new();
        for (tunnel, pipe) in [(client.clone(), near), (agent, far)] {
            tasks.spawn(async move {
                let (reader, writer) = tokio::io::split(pipe);
                tunnel.carry(reader, writer).await;
            });
        }
        tasks.spawn(async move {
            let Some(Request::Open(request)) = requests.recv().await else {
                panic!("not an open")
            };
            dial(request).await;
        });
        tokio::time::pause();
        let began = Instant::now();
        assert_eq!(client.open(address).await.err(), Some(StreamRefusal::TimedOut));
        let waited = began.elapsed();
        assert!(
            waited >= DIAL_LIMIT && waited < Limits::default().open,
            "{waited:?}"
        );
    }

    #[test]
    fn each_error_of_connect_becomes_its_refusal() {
        for (errno, expected) in [
            (libc::ECONNREFUSED, StreamRefusal::Refused),
            (libc::EHOSTUNREACH, StreamRefusal::HostUnreachable),
            (libc::ENETUNREACH, StreamRefusal::NetworkUnreachable),
            (libc::ETIMEDOUT, StreamRefusal::TimedOut),
            (libc::EPERM, StreamRefusal::Prohibited),
            (libc::EMFILE, StreamRefusal::Exhausted),
        ] {
            assert_eq!(refusal(&io::Error::from_raw_os_error(errno)), expected, "{errno}");
        }
    }
}
