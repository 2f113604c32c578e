//! Addresses that programs get for a name: the answer of getaddrinfo on this laptop, with the sources before and after
//! DNS (nsswitch.conf(5)).

use std::net::IpAddr;
use std::time::Duration;

/// How long the laptop's resolver may take. The C library's own two attempts of five seconds take longer than a user
/// waits.
const WITHIN: Duration = Duration::from_secs(8);

/// Returns the addresses that a program gets, sorted; empty if it gets an error. `None` for names that getaddrinfo is
/// not made for, or if it does not answer in time.
pub(super) async fn get(name: &str) -> Option<Vec<IpAddr>> {
    if name.starts_with('_') || name.trim_end_matches('.').ends_with(".arpa") {
        return None;
    }
    let asked = tokio::time::timeout(WITHIN, tokio::net::lookup_host((name, 0))).await;
    let mut found: Vec<IpAddr> = match asked.ok()? {
        Ok(found) => found.map(|socket| socket.ip()).collect(),
        Err(_) => Vec::new(),
    };
    found.sort_unstable();
    found.dedup();
    Some(found)
}
