//! Detection of peers that vanished: their node failed, or a network between forgot the connection.
//!
//! Keep-alive finds such a peer while the connection is idle. While data is on its way, Linux sends no keep-alive probe
//! and repeats the data for a quarter of an hour, so the agent looks at the kernel's record of acknowledgements itself.
//! `TCP_USER_TIMEOUT` is not used: it also breaks a connection whose peer acknowledges every probe but reads nothing,
//! such as a service that a debugger has stopped.

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// Idle time before the first keep-alive probe: less than the time after which any common NAT forgets a connection.
const IDLE: Duration = Duration::from_secs(15);

/// Interval of the probes after an unanswered one.
const PROBE_EVERY: Duration = Duration::from_secs(10);

/// Number of unanswered probes that end a connection.
const PROBES: u32 = 3;

/// Time without an acknowledgement after which a peer may have vanished.
const SILENT_FOR: Duration = Duration::from_secs(45);

/// Number of unanswered probes that count. One may be lost, and the kernel sends the next one up to two minutes later.
const LOST_PROBES: u8 = 2;

/// Interval at which acknowledgements are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Sets keep-alive probes, which also remind every NAT and firewall on the way of the connection.
pub(crate) fn keep_alive(socket: &TcpStream) -> io::Result<()> {
    let keep_alive = TcpKeepalive::new()
        .with_time(IDLE)
        .with_interval(PROBE_EVERY)
        .with_retries(PROBES);
    SockRef::from(socket).set_tcp_keepalive(&keep_alive)
}

/// Returns when the peer has acknowledged nothing for so long that it must have vanished.
pub(crate) async fn vanished(socket: &TcpStream) {
    let mut watch = Watch::default();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        match Acknowledged::of(socket.as_fd()) {
            Ok(now) if watch.is_vanished(now) => return,
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(%error, "the kernel does not say what a peer acknowledged");
                std::future::pending().await
            }
        }
    }
}

/// What the kernel knows about a peer's acknowledgements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Acknowledged {
    /// Whether data, or probes of a peer that has no room for data, are not acknowledged.
    awaited: bool,
    /// Time since the last acknowledgement.
    ago: Duration,
}

impl Acknowledged {
    #[expect(
        unsafe_code,
        reason = "only the kernel knows what was acknowledged, and no safe crate of the agent asks it"
    )]
    fn of(socket: BorrowedFd<'_>) -> io::Result<Acknowledged> {
        let mut info = MaybeUninit::<libc::tcp_info>::zeroed();
        let mut length = libc::socklen_t::try_from(size_of::<libc::tcp_info>()).map_err(io::Error::other)?;
        // SAFETY: the kernel writes at most `length` bytes to `info`, which is that long. All zeros, and all bytes that
        // the kernel writes, are valid values of its integers.
        let info = unsafe {
            let outcome = libc::getsockopt(
                socket.as_raw_fd(),
                libc::IPPROTO_TCP,
                libc::TCP_INFO,
                info.as_mut_ptr().cast(),
                &raw mut length,
            );
            if outcome != 0 {
                return Err(io::Error::last_os_error());
            }
            info.assume_init()
        };
        Ok(Acknowledged {
            awaited: info.tcpi_unacked > 0 || info.tcpi_probes >= LOST_PROBES,
            ago: Duration::from_millis(info.tcpi_last_ack_recv.into()),
        })
    }
}

/// Looks at one peer, without I/O or clock.
#[derive(Debug, Default)]
struct Watch {
    /// The last look, if it raised a suspicion.
    suspected: Option<Acknowledged>,
}

impl Watch {
    /// Judges by two looks in a row, because the last acknowledgement of a peer that reads nothing may be two minutes
    /// old when the next probe is sent, and its answer is on the way.
    fn is_vanished(&mut self, now: Acknowledged) -> bool {
        let before = self.suspected.take();
        if !now.awaited || now.ago < SILENT_FOR {
            return false;
        }
        self.suspected = Some(now);
        before.is_some_and(|before| before.ago < now.ago)
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    fn look(awaited: bool, seconds: u64) -> Acknowledged {
        let ago = Duration::from_secs(seconds);
        Acknowledged { awaited, ago }
    }

    #[test]
    fn a_peer_is_vanished_after_two_looks_without_a_word() {
        for (looks, vanished) in [
            (&[look(true, 45), look(true, 50)][..], true),
            (&[look(true, 50)], false),
            (&[look(true, 35), look(true, 40)], false),
            (&[look(false, 300), look(false, 305)], false),
            // A probe after two minutes of a closed window, and its answer.
            (&[look(true, 120), look(false, 0), look(false, 5)], false),
            (&[look(true, 120), look(true, 50)], false),
            (&[look(true, 120), look(true, 125)], true),
            (&[look(true, 50), look(false, 55), look(true, 60)], false),
        ] {
            let mut watch = Watch::default();
            let judged = looks.iter().map(|look| watch.is_vanished(*look)).last();
            assert_eq!(judged, Some(vanished), "{looks:?}");
        }
    }

    #[test]
    fn a_vanished_peer_is_found_within_a_minute() {
        assert!(IDLE + PROBE_EVERY * PROBES <= Duration::from_secs(60));
        assert!(SILENT_FOR + LOOK_EVERY * 2 <= Duration::from_secs(60));
    }

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (ours, accepted) = tokio::join!(
            TcpStream::connect(listener.local_addr().unwrap()),
            listener.accept()
        );
        (ours.unwrap(), accepted.unwrap().0)
    }

    #[tokio::test]
    async fn the_kernel_probes_an_idle_connection() {
        let (ours, _peer) = pair().await;
        keep_alive(&ours).unwrap();
        let socket = SockRef::from(&ours);
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), IDLE);
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), PROBE_EVERY);
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), PROBES);
        assert_eq!(socket.tcp_user_timeout().unwrap(), None);
    }

    #[tokio::test]
    async fn a_peer_that_reads_nothing_still_acknowledges() {
        let (ours, _peer) = pair().await;
        ours.writable().await.unwrap();
        while ours.try_write(&[0; 64 * 1024]).is_ok() {}
        // The kernel acknowledges on behalf of the program until its buffer is full, and then answers probes.
        let acknowledged = tokio::time::timeout(Duration::from_secs(5), async {
            while Acknowledged::of(ours.as_fd()).unwrap().awaited {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        acknowledged.await.unwrap();
        let now = Acknowledged::of(ours.as_fd()).unwrap();
        assert!(now.ago < SILENT_FOR, "{now:?}");
    }
}
