//! Self-test of names: a question by getaddrinfo, as any program asks, must arrive here.

use std::net::{IpAddr, ToSocketAddrs};
use std::time::Duration;

use slipway_names::CHECK_ADDRESS;

/// A name that only our resolver knows. The dot at its end keeps search domains out.
const CHECK_NAME: &str = "check.slipway.internal.";

/// How long one attempt may take.
const PER_ATTEMPT: Duration = Duration::from_secs(2);

/// The pause after the first attempt; each next one is longer by as much.
const PAUSE: Duration = Duration::from_millis(50);

/// Attempts: systemd-resolved takes a moment until a link's settings count.
const ATTEMPTS: u32 = 3;

/// Whether questions of programs arrive.
pub(crate) async fn names_arrive() -> bool {
    for attempt in 1..=ATTEMPTS {
        // getaddrinfo blocks and cannot be ended: a thread may outlive its answer by the resolver's own timeout.
        let asked = tokio::task::spawn_blocking(|| {
            (CHECK_NAME, 0)
                .to_socket_addrs()
                .is_ok_and(|mut found| found.any(|address| address.ip() == IpAddr::V4(CHECK_ADDRESS)))
        });
        match tokio::time::timeout(PER_ATTEMPT, asked).await {
            Ok(Ok(true)) => return true,
            Ok(_) => tracing::debug!(attempt, "the laptop's resolver does not lead here"),
            Err(_) => tracing::debug!(attempt, "the laptop's resolver does not answer"),
        }
        tokio::time::sleep(PAUSE * attempt).await;
    }
    false
}
