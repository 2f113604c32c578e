//! Hosts of URLs.

use http::uri::Authority;

/// Returns the host of `user@host:port` (RFC 3986 section 3.2), an IPv6 address without its brackets; `None` if it is
/// empty.
pub(crate) fn host_of(authority: &Authority) -> Option<String> {
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    (!host.is_empty()).then(|| host.to_owned())
}
