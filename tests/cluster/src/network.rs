//! Changes of a laptop's network during a session.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use crate::{Desk, NodeRule};

/// Drops all packets from a laptop on the node, so that the laptop sees no error, until this is dropped.
pub struct Gone<'a> {
    _rule: NodeRule<'a>,
    since: Instant,
}

impl<'a> Gone<'a> {
    /// Starts now.
    pub fn begin(desk: &'a Desk<'a>) -> Gone<'a> {
        Gone {
            _rule: NodeRule::begin(desk, "gone", "drop"),
            since: Instant::now(),
        }
    }

    /// Ends after this time from the beginning.
    pub fn last(self, so_long: Duration) {
        std::thread::sleep(so_long.saturating_sub(self.since.elapsed()));
    }
}

/// A laptop with another address, as in another network. It gets its own address back when this is dropped.
pub struct Moved<'a> {
    desk: &'a Desk<'a>,
    own: String,
    other: String,
    promoted: String,
}

impl<'a> Moved<'a> {
    /// Starts now: adds the other address, then removes its own.
    pub fn begin(desk: &'a Desk<'a>) -> Moved<'a> {
        let own = desk.laptop.address();
        let [a, b, c, host] = own.octets();
        let other = Ipv4Addr::new(a, b, c, host + 100);
        let promoted = desk.as_root("sysctl", &["-n", PROMOTE]).trim().to_owned();
        let moved = Moved {
            desk,
            own: format!("{own}/24"),
            other: format!("{other}/24"),
            promoted,
        };
        // Otherwise the kernel removes the second address with the first.
        desk.as_root("sysctl", &["-qw", &format!("{PROMOTE}=1")]);
        desk.as_root("ip", &["address", "add", &moved.other, "dev", "eth0"]);
        desk.as_root("ip", &["address", "delete", &moved.own, "dev", "eth0"]);
        moved
    }
}

impl Moved<'_> {
    /// Whether a connection of the laptop uses the other address.
    pub fn is_used(&self) -> bool {
        let (other, _) = self.other.split_once('/').unwrap();
        let connections = ["-Htn", "state", "established", "src", other];
        !self.desk.as_root("ss", &connections).trim().is_empty()
    }
}

/// Setting by which a secondary address stays when the primary one is removed, as on desktops.
const PROMOTE: &str = "net.ipv4.conf.eth0.promote_secondaries";

impl Drop for Moved<'_> {
    fn drop(&mut self) {
        for what in [["add", &self.own], ["delete", &self.other]] {
            self.desk
                .output_as_root("ip", &[&["address"], &what[..], &["dev", "eth0"]].concat());
        }
        self.desk
            .output_as_root("sysctl", &["-qw", &format!("{PROMOTE}={}", self.promoted)]);
    }
}
