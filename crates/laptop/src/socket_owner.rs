//! Owners of sockets: which program of this user has a UDP or TCP socket, as /proc tells (proc(5), proc_pid_fd(5)).

use std::collections::VecDeque;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Tables of the kernel's sockets.
const TABLES: [&str; 4] = [
    "/proc/net/udp",
    "/proc/net/udp6",
    "/proc/net/tcp",
    "/proc/net/tcp6",
];

/// Number of remembered owners. Programs that asked before are likely to ask again.
const MOST: usize = 32;

/// A program that has a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketOwner {
    /// Its process.
    pub pid: u32,
    /// The name of its process: at most 15 bytes, chosen by the program.
    pub program: String,
}

/// Finder of owners. It remembers those that it found, and looks there first.
#[derive(Debug, Default)]
pub struct SocketOwners {
    recent: VecDeque<u32>,
}

impl SocketOwners {
    /// Finds the program with a socket at this local address. `None` if it is gone, or belongs to another user. Takes
    /// milliseconds, because it reads many small files.
    pub fn find(&mut self, local: SocketAddr) -> Option<SocketOwner> {
        let inode = TABLES
            .iter()
            .find_map(|table| inode_in(&fs::read_to_string(table).ok()?, local))?;
        let socket = format!("socket:[{inode}]");
        let recent = self.recent.iter().copied().find(|pid| has(*pid, &socket));
        let pid = recent.or_else(|| processes().into_iter().find(|pid| has(*pid, &socket)))?;
        self.recent.retain(|known| *known != pid);
        self.recent.push_front(pid);
        self.recent.truncate(MOST);
        let name = fs::read(format!("/proc/{pid}/comm")).ok()?;
        let program = String::from_utf8_lossy(&name).trim_end().to_owned();
        Some(SocketOwner { pid, program })
    }
}

/// Returns all processes, the youngest first: a program that asks once has just started.
fn processes() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut pids: Vec<u32> = entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    pids.sort_unstable_by(|a, b| b.cmp(a));
    pids
}

/// Whether a process has this file open. False for processes of other users.
fn has(pid: u32, file: &str) -> bool {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten();
    open.flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .any(|target| target.as_os_str() == file)
}

/// Finds the socket with this local address in a table of the kernel.
fn inode_in(table: &str, local: SocketAddr) -> Option<u64> {
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_whitespace();
        let (address, port) = fields.nth(1)?.split_once(':')?;
        let port = u16::from_str_radix(port, 16).ok()?;
        let address = parse_address(address)?;
        let is_it =
            port == local.port() && (address == local.ip().to_canonical() || address.is_unspecified());
        let inode = fields.nth(7)?.parse().ok()?;
        is_it.then_some(inode)
    })
}

/// Parses an address: words of 32 bits in hexadecimal digits, each in the processor's byte order.
fn parse_address(text: &str) -> Option<IpAddr> {
    let word = |start: usize| -> Option<[u8; 4]> {
        let digits = text.get(start..start + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    match text.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let mut octets = [0; 16];
            for (place, bytes) in octets.chunks_exact_mut(4).enumerate() {
                bytes.copy_from_slice(&word(place * 8)?);
            }
            Some(IpAddr::from(Ipv6Addr::from(octets)).to_canonical())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;

    #[test]
    fn the_owner_of_a_socket_is_found() {
        let own = std::process::id();
        let mut owners = SocketOwners::default();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let anywhere = UdpSocket::bind("0.0.0.0:0").unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = anywhere.local_addr().unwrap().port();
        for local in [
            udp.local_addr().unwrap(),
            SocketAddr::from(([127, 0, 0, 1], port)),
            tcp.local_addr().unwrap(),
        ] {
            assert_eq!(owners.find(local).unwrap().pid, own, "{local}");
        }
        let gone = udp.local_addr().unwrap();
        drop(udp);
        assert_eq!(owners.find(gone), None);
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn addresses_of_both_families_are_read() {
        assert_eq!(parse_address("0100007F"), Some(Ipv4Addr::LOCALHOST.into()));
        let mapped = "0000000000000000FFFF00000100007F";
        assert_eq!(parse_address(mapped), Some(Ipv4Addr::LOCALHOST.into()));
        let v6 = "B80D0120000000000000000001000000";
        assert_eq!(parse_address(v6), "2001:db8::1".parse().ok());
        for odd in ["", "0100007", "zzzzzzzz", "ää"] {
            assert_eq!(parse_address(odd), None);
        }
        assert_eq!(
            inode_in("sl\n garbage\n 1: 0100007F:0035\n", ([127, 0, 0, 1], 53).into()),
            None
        );
    }
}
