//! Programs' view of a name: what getaddrinfo gives them on this laptop, with all that stands before and behind DNS
//! (nsswitch.conf(5)).

use std::net::IpAddr;
use std::time::Duration;

/// How long the laptop's resolver may take. Longer than the C library's own two attempts of five seconds with one server
/// would serve nobody.
const WITHIN: Duration = Duration::from_secs(8);

/// The addresses that a program gets, in order, none where it gets an error; `None` for what getaddrinfo is not for, or
/// where it gives no answer.
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
