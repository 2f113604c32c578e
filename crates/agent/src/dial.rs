//! TCP connections on behalf of the session.

use std::io;

use slipway_tunnel::{OpenRequest, Refusal, splice};
use tokio::net::TcpStream;

/// Connects as the client asked, tells it the outcome, and moves bytes until both ends are done.
pub(crate) async fn dial(request: OpenRequest) {
    let connected = tokio::select! {
        connected = TcpStream::connect(request.to) => connected,
        () = request.given_up() => return,
    };
    match connected {
        Ok(socket) => splice(request.accept(), socket).await,
        Err(error) => {
            let refusal = refusal(&error);
            tracing::debug!(to = %request.to, %error, ?refusal, "no connection");
            request.refuse(refusal);
        }
    }
}

/// What `connect(2)` said, for the program on the laptop.
pub(crate) fn refusal(error: &io::Error) -> Refusal {
    match error.raw_os_error() {
        Some(libc::ECONNREFUSED | libc::ECONNRESET) => Refusal::Refused,
        Some(libc::ENETUNREACH | libc::EADDRNOTAVAIL | libc::EAFNOSUPPORT) => Refusal::NetworkUnreachable,
        Some(libc::ETIMEDOUT) => Refusal::TimedOut,
        Some(libc::EACCES | libc::EPERM) => Refusal::Prohibited,
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => Refusal::Exhausted,
        Some(_) | None => Refusal::HostUnreachable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_hears_what_connect_said_in_the_cluster() {
        for (errno, expected) in [
            (libc::ECONNREFUSED, Refusal::Refused),
            (libc::EHOSTUNREACH, Refusal::HostUnreachable),
            (libc::ENETUNREACH, Refusal::NetworkUnreachable),
            (libc::ETIMEDOUT, Refusal::TimedOut),
            (libc::EPERM, Refusal::Prohibited),
            (libc::EMFILE, Refusal::Exhausted),
        ] {
            assert_eq!(refusal(&io::Error::from_raw_os_error(errno)), expected, "{errno}");
        }
    }
}
