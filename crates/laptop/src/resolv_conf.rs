//! File `resolv.conf` (resolv.conf(5)): name servers and search domains of programs.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

/// Name servers and search list of a `resolv.conf`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvConf {
    /// Whether the file has a valid name server.
    pub names_servers: bool,
    /// Name servers, in the file's order. If the file has none, this is 127.0.0.1, which the C library asks then.
    pub servers: Vec<SocketAddr>,
    /// Search domains, in the file's order and in lower case.
    pub search: Vec<String>,
    /// Number of dots from which a name is tried as it is before the search domains.
    pub ndots: u8,
    /// Seconds that a program waits for a name server before it asks the next one.
    pub timeout: u8,
}

impl ResolvConf {
    /// Parses the text of a file. `index_of` returns the index of a device, for addresses such as `fe80::1%wlan0`.
    /// Words that the C library would not understand are ignored.
    #[must_use]
    pub fn parse(text: &str, index_of: impl Fn(&str) -> Option<u32>) -> Self {
        Self::parse_except(text, index_of, &[])
    }

    /// Parses the text of a file as [`parse`](Self::parse), without the lines of these servers.
    #[must_use]
    pub fn parse_except(text: &str, index_of: impl Fn(&str) -> Option<u32>, except: &[IpAddr]) -> Self {
        let mut servers: Vec<SocketAddr> = Vec::new();
        let mut search = Vec::new();
        let (mut ndots, mut timeout) = (DEFAULT_NDOTS, DEFAULT_TIMEOUT);
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") => {
                    let server = words.next().and_then(|word| parse_server(word, &index_of));
                    let is_new =
                        |server: &SocketAddr| !servers.contains(server) && !except.contains(&server.ip());
                    let server = server.filter(is_new);
                    servers.extend(server);
                }
                // The last of these lines counts.
                Some("search" | "domain") => search = words.map(|word| word.to_ascii_lowercase()).collect(),
                Some("options") => {
                    for (option, value) in words.filter_map(|word| word.split_once(':')) {
                        let Ok(value) = value.parse::<u32>() else { continue };
                        match option {
                            "ndots" => ndots = at_most(value, MAX_NDOTS),
                            "timeout" => timeout = at_most(value, MAX_TIMEOUT),
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        servers.truncate(MAX_SERVERS);
        let names_servers = !servers.is_empty();
        if servers.is_empty() {
            servers.push(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), DNS_PORT));
        }
        Self {
            names_servers,
            servers,
            search,
            ndots,
            timeout,
        }
    }

    /// Returns whether programs that read this file ask systemd-resolved (systemd-resolved.service(8)).
    #[must_use]
    pub fn is_resolved_stub(&self) -> bool {
        self.servers.iter().any(|server| STUBS.contains(&server.ip()))
    }

    /// Returns the name servers that must stay reachable: those that programs ask, and those that systemd-resolved asks
    /// for them (`uplinks`). Servers on loopback are left out, because they need no route.
    #[must_use]
    pub fn in_use(&self, uplinks: &Self) -> Vec<IpAddr> {
        let mut servers = self.addresses();
        if self.is_resolved_stub() {
            servers.extend(uplinks.addresses());
        }
        servers.retain(|server| !server.is_loopback());
        servers
    }

    /// Returns the servers' addresses.
    #[must_use]
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.servers.iter().map(SocketAddr::ip).collect()
    }
}

/// Maximum number of servers that the C library asks (`MAXNS`).
const MAX_SERVERS: usize = 3;
const DEFAULT_NDOTS: u8 = 1;
/// Maximum of `ndots` in the C library (`RES_MAXNDOTS`).
const MAX_NDOTS: u8 = 15;
/// Default of `timeout` in the C library (`RES_TIMEOUT`), in seconds.
const DEFAULT_TIMEOUT: u8 = 5;
/// Maximum of `timeout` in the C library (`RES_MAXRETRANS`), in seconds.
const MAX_TIMEOUT: u8 = 30;
const DNS_PORT: u16 = 53;
const STUBS: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, 53)),
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, 54)),
];

fn at_most(value: u32, most: u8) -> u8 {
    u8::try_from(value).unwrap_or(most).min(most)
}

/// Parses `10.0.0.1`, `fe80::1%wlan0` or `fe80::1%3`.
fn parse_server(word: &str, index_of: impl Fn(&str) -> Option<u32>) -> Option<SocketAddr> {
    let (address, zone) = word
        .split_once('%')
        .map_or((word, None), |(address, zone)| (address, Some(zone)));
    let Some(zone) = zone else {
        return Some(SocketAddr::new(address.parse().ok()?, DNS_PORT));
    };
    let scope = zone.parse().ok().or_else(|| index_of(zone))?;
    Some(SocketAddrV6::new(address.parse::<Ipv6Addr>().ok()?, DNS_PORT, 0, scope).into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> ResolvConf {
        ResolvConf::parse(text, |device| (device == "lo").then_some(1))
    }

    #[test]
    fn reads_what_programs_read() {
        let conf = parse(
            "# NetworkManager\ndomain old.example\nsearch Corp.example lan\nnameserver 10.0.0.1\n nameserver 10.0.0.1\n\
             nameserver\tfd00::1\nnameserver fe80::1%lo\nnameserver 10.0.0.4\noptions edns0 ndots:3\nnameserver nonsense\n",
        );
        let servers =
            ["10.0.0.1:53", "[fd00::1]:53", "[fe80::1%1]:53"].map(|text| text.parse().expect("server"));
        assert_eq!(conf.servers, servers);
        assert_eq!(conf.search, ["corp.example", "lan"]);
        assert_eq!((conf.ndots, conf.timeout), (3, 5));
        assert!(!conf.is_resolved_stub());
        assert!(parse("nameserver 127.0.0.53").is_resolved_stub());
    }

    #[test]
    fn left_out_servers_take_no_place() {
        let text = "nameserver 198.18.0.2\nnameserver 10.0.0.1\nnameserver 198.18.1.2\nnameserver 10.0.0.2\n";
        let ours = ["198.18.0.2", "198.18.1.2"].map(|address| address.parse().expect("address"));
        let conf = ResolvConf::parse_except(text, |_| None, &ours);
        let servers = ["10.0.0.1:53", "10.0.0.2:53"].map(|text| text.parse().expect("server"));
        assert_eq!(conf.servers, servers);
    }

    #[test]
    fn options_have_the_limits_of_the_c_library() {
        let options = |text: &str| {
            let conf = parse(text);
            (conf.ndots, conf.timeout)
        };
        assert_eq!(
            options("options timeout:1 attempts:1 rotate\noptions ndots:2\n"),
            (2, 1)
        );
        assert_eq!(options("options ndots:99 timeout:300\n"), (15, 30));
        assert_eq!(options("options timeout: ndots:x timeout\n"), (1, 5));
    }

    #[test]
    fn servers_behind_resolved_are_in_use() {
        let uplinks = parse("nameserver 10.0.0.53\n");
        let stub = parse("nameserver 127.0.0.53\n");
        assert_eq!(stub.in_use(&uplinks), uplinks.addresses());
        let plain = parse("nameserver 192.168.1.1\nnameserver 127.0.0.1\n");
        assert_eq!(plain.in_use(&uplinks), plain.addresses()[..1]);
    }

    #[test]
    fn without_a_server_this_host_is_asked() {
        assert_eq!(parse("").servers, ["127.0.0.1:53".parse().expect("server")]);
    }

    proptest! {
        #[test]
        fn any_file_is_read(text in "((nameserver|search|domain)? ?\\PC{0,20}\n){0,8}") {
            let conf = parse(&text);
            prop_assert!((1..=MAX_SERVERS).contains(&conf.servers.len()));
        }
    }
}
