//! Parser of the argument of `slipway explain`: a name, an address, a URL, or a host with a port.

use std::net::{IpAddr, SocketAddr};

/// The subject of an explanation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Typed {
    /// A name, as a program would ask for it, and the port to which it would connect.
    Name(String, Option<u16>),
    /// An address, which needs no name.
    Address(IpAddr),
}

impl Typed {
    /// Reads `web`, `web:80`, `http://web.shop/path`, `10.96.0.7`, `[fd00::1]:80`.
    ///
    /// A parser of URLs reads what is not a URL differently: `web:80` has the scheme `web`, `10` is an address.
    pub(super) fn parse(text: &str) -> Self {
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let place = authority
            .rsplit_once('@')
            .map_or(authority, |(_user, place)| place);
        if let Ok(address) = place.trim_matches(['[', ']']).parse() {
            return Self::Address(address);
        }
        if let Ok(socket) = place.parse::<SocketAddr>() {
            return Self::Address(socket.ip());
        }
        let with_port = place.rsplit_once(':');
        match with_port.and_then(|(name, port)| Some((name, port.parse().ok()?))) {
            Some((name, port)) => Self::Name(name.to_owned(), Some(port)),
            None => Self::Name(place.to_owned(), default_port(scheme)),
        }
    }
}

/// Returns the port of a URL that names none.
fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_found_in_urls_and_ports() {
        for (text, name, port) in [
            ("web", "web", None),
            ("web.shop.", "web.shop.", None),
            ("_http._tcp.web", "_http._tcp.web", None),
            ("web:81", "web", Some(81)),
            ("http://web.shop.svc:8080/path?x=y:1", "web.shop.svc", Some(8080)),
            ("http://web/path", "web", Some(80)),
            ("https://web", "web", Some(443)),
            ("postgres://user:pass@db/orders", "db", None),
            ("web:", "web:", None),
            ("web:99999", "web:99999", None),
            ("", "", None),
        ] {
            assert_eq!(Typed::parse(text), Typed::Name(name.to_owned(), port), "{text}");
        }
        for (text, address) in [
            ("10.96.0.7", "10.96.0.7"),
            ("http://10.96.0.7:80/", "10.96.0.7"),
            ("fd00::1", "fd00::1"),
            ("[fd00::1]", "fd00::1"),
            ("[fd00::1]:80", "fd00::1"),
        ] {
            assert_eq!(
                Typed::parse(text),
                Typed::Address(address.parse().unwrap()),
                "{text}"
            );
        }
    }
}
