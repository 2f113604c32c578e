//! Self-test of DNS: a question by getaddrinfo, which programs use, must reach the session's resolver.

use std::net::{IpAddr, ToSocketAddrs};
use std::time::Duration;

use slipway_names::CHECK_ADDRESS;

/// Name that only Slipway's resolver knows. The dot at its end prevents search domains.
const CHECK_NAME: &str = "check.slipway.internal.";

/// Time limit of an attempt.
const PER_ATTEMPT: Duration = Duration::from_secs(2);

/// Pause after the first attempt; every further pause is longer by as much.
const PAUSE: Duration = Duration::from_millis(50);

/// Number of attempts: systemd-resolved takes a moment to apply a link's settings.
const ATTEMPTS: u32 = 3;

/// Returns whether questions of programs reach the resolver.
pub(crate) async fn names_arrive() -> bool {
    for attempt in 1..=ATTEMPTS {
        // getaddrinfo blocks and cannot be canceled: its thread may run on until the C library's own timeout.
        let asked = tokio::task::spawn_blocking(|| {
            (CHECK_NAME, 0)
                .to_socket_addrs()
                .is_ok_and(|mut found| found.any(|address| address.ip() == IpAddr::V4(CHECK_ADDRESS)))
        });
        match tokio::time::timeout(PER_ATTEMPT, asked).await {
            Ok(Ok(true)) => return true,
            Ok(_) => tracing::debug!(attempt, "test question did not reach Slipway's resolver"),
            Err(_) => tracing::debug!(attempt, "test question was not answered in time"),
        }
        tokio::time::sleep(PAUSE * attempt).await;
    }
    false
}
