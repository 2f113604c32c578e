//! What becomes of a laptop's network while it is connected.

use std::net::Ipv4Addr;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::Desk;

/// The API server's side drops everything that comes from a laptop, which therefore sees no error; until this is
/// dropped.
pub struct Gone<'a> {
    desk: &'a Desk<'a>,
    since: Instant,
}

impl<'a> Gone<'a> {
    /// From now on.
    pub fn begin(desk: &'a Desk<'a>) -> Gone<'a> {
        let from = desk.laptop.address();
        let rules = format!(
            "table ip gone {{ chain c {{ type filter hook prerouting priority -300; ip saddr {from} drop; }}; }}"
        );
        let added = desk
            .bed
            .command_on_node("nft", [rules.as_str()])
            .output()
            .unwrap();
        assert!(added.status.success(), "{added:?}");
        Gone {
            desk,
            since: Instant::now(),
        }
    }

    /// Until so long after the beginning.
    pub fn last(self, so_long: Duration) {
        std::thread::sleep(so_long.saturating_sub(self.since.elapsed()));
    }
}

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        let _removed = self
            .desk
            .bed
            .command_on_node("nft", ["delete table ip gone"])
            .output();
    }
}

/// A laptop that has another address than before, as in another network; it has its own again when this is dropped.
pub struct Moved<'a> {
    desk: &'a Desk<'a>,
    own: String,
    other: String,
    promoted: String,
}

impl<'a> Moved<'a> {
    /// From now on: the other address is there before its own goes.
    pub fn begin(desk: &'a Desk<'a>) -> Moved<'a> {
        let own = desk.laptop.address();
        let [a, b, c, host] = own.octets();
        let other = Ipv4Addr::new(a, b, c, host + 100);
        let promoted = run(desk, "sysctl", &["-n", PROMOTE]).trim().to_owned();
        let moved = Moved {
            desk,
            own: format!("{own}/24"),
            other: format!("{other}/24"),
            promoted,
        };
        // Otherwise the last address that came goes with the first.
        run(desk, "sysctl", &["-qw", &format!("{PROMOTE}=1")]);
        run(desk, "ip", &["address", "add", &moved.other, "dev", "eth0"]);
        run(desk, "ip", &["address", "delete", &moved.own, "dev", "eth0"]);
        moved
    }
}

/// Whether an address stays when the one that came before it goes, as desktops have it.
const PROMOTE: &str = "net.ipv4.conf.eth0.promote_secondaries";

impl Drop for Moved<'_> {
    fn drop(&mut self) {
        for what in [["add", &self.own], ["delete", &self.other]] {
            try_run(
                self.desk,
                "ip",
                &[&["address"], &what[..], &["dev", "eth0"]].concat(),
            );
        }
        try_run(
            self.desk,
            "sysctl",
            &["-qw", &format!("{PROMOTE}={}", self.promoted)],
        );
    }
}

fn run(desk: &Desk<'_>, program: &str, arguments: &[&str]) -> String {
    let (succeeded, said) = try_run(desk, program, arguments);
    assert!(succeeded, "{program} {arguments:?}: {said}");
    said
}

fn try_run(desk: &Desk<'_>, program: &str, arguments: &[&str]) -> (bool, String) {
    let output = desk
        .laptop
        .command_as_root(program, arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = if output.status.success() {
        output.stdout
    } else {
        output.stderr
    };
    (
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}
