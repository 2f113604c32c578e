//! Addresses that programs get for a name: the answer of getaddrinfo on this laptop, with the sources before and after
//! DNS (nsswitch.conf(5)).

use std::io;
use std::net::IpAddr;
use std::time::Duration;

/// How long the laptop's resolver may take. The C library's own two attempts of five seconds take longer than a user
/// waits.
const WITHIN: Duration = Duration::from_secs(8);

/// Texts of getaddrinfo's errors for a name that does not exist or has no address: EAI_NONAME, EAI_NODATA and
/// EAI_ADDRFAMILY of glibc and musl. The standard library gives no number.
const NO_SUCH_NAME: [&str; 5] = [
    "Name or service not known",
    "No address associated with hostname",
    "Address family for hostname not supported",
    "Name does not resolve",
    "Name has no usable address",
];

/// Returns the addresses that a program gets, sorted; empty if it is told that there are none. `None` for names that
/// getaddrinfo is not made for, and if it fails or does not answer in time.
pub(super) async fn get(name: &str) -> Option<Vec<IpAddr>> {
    if name.starts_with('_') || name.trim_end_matches('.').ends_with(".arpa") {
        return None;
    }
    let asked = tokio::time::timeout(WITHIN, tokio::net::lookup_host((name, 0))).await;
    let mut found: Vec<IpAddr> = match asked.ok()? {
        Ok(found) => found.map(|socket| socket.ip()).collect(),
        Err(error) if is_no_such_name(&error) => Vec::new(),
        Err(_) => return None,
    };
    found.sort_unstable();
    found.dedup();
    Some(found)
}

fn is_no_such_name(error: &io::Error) -> bool {
    let text = error.to_string();
    NO_SUCH_NAME.iter().any(|known| text.contains(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_look_up_is_no_missing_name() {
        let error = |detail| io::Error::other(format!("failed to lookup address information: {detail}"));
        assert!(is_no_such_name(&error("Name or service not known")));
        assert!(!is_no_such_name(&error("Temporary failure in name resolution")));
    }

    #[tokio::test]
    async fn a_name_that_never_exists_has_no_address() {
        // A laptop without name servers fails instead (RFC 6761 reserves the name).
        let got = get("nosuch.invalid").await;
        assert!(got.is_none_or(|addresses| addresses.is_empty()));
        assert_eq!(get("_http._tcp.web").await, None);
    }
}
