//! Parser of the argument of `slipway explain`: a name, an address, a URL, or a host with a port.

use std::net::{IpAddr, SocketAddr};

/// The subject of an explanation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Typed {
    /// A name, as a program would ask for it.
    Name(String),
    /// An address, which needs no name.
    Address(IpAddr),
}

impl Typed {
    /// Reads `web`, `web:80`, `http://web.shop/path`, `10.96.0.7`, `[fd00::1]:80`.
    ///
    /// A parser of URLs reads what is not a URL differently: `web:80` has the scheme `web`, `10` is an address.
    pub(super) fn parse(text: &str) -> Self {
        let rest = text.split_once("://").map_or(text, |(_scheme, rest)| rest);
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
        let name = match place.rsplit_once(':') {
            Some((name, port)) if port.parse::<u16>().is_ok() => name,
            Some(_) | None => place,
        };
        Self::Name(name.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_found_in_urls_and_ports() {
        for (text, name) in [
            ("web", "web"),
            ("web.shop.", "web.shop."),
            ("_http._tcp.web", "_http._tcp.web"),
            ("web:81", "web"),
            ("http://web.shop.svc:8080/path?x=y:1", "web.shop.svc"),
            ("postgres://user:pass@db/orders", "db"),
            ("web:", "web:"),
            ("", ""),
        ] {
            assert_eq!(Typed::parse(text), Typed::Name(name.to_owned()), "{text}");
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
