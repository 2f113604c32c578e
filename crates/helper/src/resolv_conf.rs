//! What the laptop's own `resolv.conf` says (resolv.conf(5)). Read only, ever.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::path::Path;

use slipway_helper_api::{DnsSuffix, DnsTrouble};

/// The laptop's name servers and search list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ResolvConf {
    /// In the file's order; never empty, because without any the C library asks this host.
    pub(crate) servers: Vec<SocketAddr>,
    /// In the file's order.
    pub(crate) search: Vec<DnsSuffix>,
    /// How many dots a name has that is asked for as it is first.
    pub(crate) ndots: u8,
}

impl ResolvConf {
    /// Reads a file. One that does not exist says what an empty one does.
    pub(crate) fn read(path: &Path) -> Result<Self, DnsTrouble> {
        match std::fs::read_to_string(path) {
            Ok(text) => Ok(Self::parse(&text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::parse("")),
            Err(error) => Err(DnsTrouble::NoResolvConf {
                errno: error.raw_os_error().unwrap_or_default(),
            }),
        }
    }

    pub(crate) fn parse(text: &str) -> Self {
        let mut servers: Vec<SocketAddr> = Vec::new();
        let mut search = Vec::new();
        let mut ndots = DEFAULT_NDOTS;
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") => {
                    let server = words.next().and_then(parse_server);
                    servers.extend(server.filter(|server| !servers.contains(server)));
                }
                // The last of these lines holds.
                Some("search" | "domain") => search = words.filter_map(|word| word.parse().ok()).collect(),
                Some("options") => {
                    let mut said = words.filter_map(|word| word.strip_prefix("ndots:")?.parse().ok());
                    ndots = said.next_back().unwrap_or(ndots).min(MAX_NDOTS);
                }
                _ => {}
            }
        }
        servers.truncate(MAX_SERVERS);
        if servers.is_empty() {
            servers.push(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), DNS_PORT));
        }
        Self {
            servers,
            search,
            ndots,
        }
    }

    /// Whether programs that read this file ask systemd-resolved (systemd-resolved.service(8)).
    pub(crate) fn is_resolved_stub(&self) -> bool {
        self.servers.iter().any(|server| STUBS.contains(&server.ip()))
    }

    /// The servers' addresses.
    pub(crate) fn addresses(&self) -> Vec<IpAddr> {
        self.servers.iter().map(SocketAddr::ip).collect()
    }
}

/// Programs read three (`MAXNS` of the C library); what follows is never asked.
const MAX_SERVERS: usize = 3;
const DEFAULT_NDOTS: u8 = 1;
/// The C library takes more for this (`RES_MAXNDOTS`).
const MAX_NDOTS: u8 = 15;
const DNS_PORT: u16 = 53;
const STUBS: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, 53)),
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, 54)),
];

/// Reads `10.0.0.1`, `fe80::1%wlan0` or `fe80::1%3`.
fn parse_server(word: &str) -> Option<SocketAddr> {
    let (address, zone) = word
        .split_once('%')
        .map_or((word, None), |(address, zone)| (address, Some(zone)));
    let Some(zone) = zone else {
        return Some(SocketAddr::new(address.parse().ok()?, DNS_PORT));
    };
    let scope = zone
        .parse()
        .ok()
        .or_else(|| nix::net::if_::if_nametoindex(zone).ok())?;
    Some(SocketAddrV6::new(address.parse::<Ipv6Addr>().ok()?, DNS_PORT, 0, scope).into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_programs_read() {
        let conf = ResolvConf::parse(
            "# NetworkManager\ndomain old.example\nsearch Corp.example lan\nnameserver 10.0.0.1\n nameserver 10.0.0.1\n\
             nameserver\tfd00::1\nnameserver fe80::1%lo\nnameserver 10.0.0.4\noptions edns0 ndots:3\nnameserver nonsense\n",
        );
        let servers =
            ["10.0.0.1:53", "[fd00::1]:53", "[fe80::1%1]:53"].map(|text| text.parse().expect("server"));
        assert_eq!(conf.servers, servers);
        assert_eq!(
            conf.search,
            ["corp.example", "lan"].map(|text| text.parse().expect("suffix"))
        );
        assert_eq!(conf.ndots, 3);
        assert!(!conf.is_resolved_stub());
        assert!(ResolvConf::parse("nameserver 127.0.0.53").is_resolved_stub());
    }

    #[test]
    fn without_a_server_this_host_is_asked() {
        assert_eq!(
            ResolvConf::parse("").servers,
            ["127.0.0.1:53".parse().expect("server")]
        );
        assert_eq!(
            ResolvConf::read(Path::new("/nonexistent/resolv.conf")),
            Ok(ResolvConf::parse(""))
        );
    }

    proptest! {
        #[test]
        fn any_file_is_read(text in "((nameserver|search|domain)? ?\\PC{0,20}\n){0,8}") {
            let conf = ResolvConf::parse(&text);
            prop_assert!((1..=MAX_SERVERS).contains(&conf.servers.len()));
        }
    }
}
