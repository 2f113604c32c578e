//! DNS by redirect: queries to the laptop's own name servers land at the session's resolver on loopback. The laptop's
//! files stay as they are.
//!
//! Each lease has a table of its own, owned by a netlink socket: others can neither change nor delete it, and the kernel
//! removes it when the socket closes, however the helper ends.

mod nft;

use std::net::SocketAddr;

use nix::errno::Errno;
use slipway_helper_api::{RedirectPort, Slot};

use nft::{Batch, Chain, Comparison, Expression, NfSocket};

/// The mark of slot 0's sockets; slot k's is k more. Clear of the bits that others test: kube-proxy's 0x4000 and 0x8000,
/// Cilium's 0x0f00, Tailscale's 0x40000 and 0x80000 under 0xff0000, and of WireGuard's 0xca6c.
const MARK_BASE: u32 = 0x534c_1000;

/// The mark that a lease's own sockets carry, so that its redirect and those of lower slots let them pass.
pub(crate) fn mark(slot: Slot) -> u32 {
    MARK_BASE + u32::from(slot.get())
}

/// A loaded table. Dropping it unloads it.
#[derive(Debug)]
pub(crate) struct Redirect {
    socket: NfSocket,
    slot: Slot,
}

impl Redirect {
    /// Loads the table of a slot.
    pub(crate) fn load(slot: Slot, servers: &[SocketAddr], port: RedirectPort) -> Result<Self, Errno> {
        let socket = NfSocket::open()?;
        let table = table(slot);
        let mut batch = Batch::new();
        batch.add_owned_table(&table);
        // The chain of a younger lease runs first. It lets the marks of older ones pass as well: their questions have been
        // through their own session, and would otherwise go round in circles.
        let priority = -100 - i32::from(slot.get());
        batch.add_chain(
            &table,
            Chain {
                name: CHAIN,
                kind: "nat",
                hook: nft::HOOK_LOCAL_OUT,
                priority,
            },
        );
        add_rules(&mut batch, &table, slot, servers, port);
        socket.commit(batch)?;
        Ok(Self { socket, slot })
    }

    /// Changes servers and port, at once and without a gap.
    pub(crate) fn reload(&self, servers: &[SocketAddr], port: RedirectPort) -> Result<(), Errno> {
        let table = table(self.slot);
        let mut batch = Batch::new();
        batch.flush_chain(&table, CHAIN);
        add_rules(&mut batch, &table, self.slot, servers, port);
        self.socket.commit(batch)
    }
}

const CHAIN: &str = "output";
const DNS_PORT: u16 = 53;

fn table(slot: Slot) -> String {
    format!("slipway-{slot}")
}

fn add_rules(batch: &mut Batch, table: &str, slot: Slot, servers: &[SocketAddr], port: RedirectPort) {
    for passing in Slot::all().take_while(|other| *other <= slot) {
        batch.add_rule(
            table,
            CHAIN,
            &[
                Expression::LoadMark,
                // The mark is a number of the host's, not of the network's.
                Expression::Compare(Comparison::Equal, &mark(passing).to_ne_bytes()),
                Expression::Return,
            ],
        );
    }
    for server in servers {
        for protocol in [libc::IPPROTO_UDP, libc::IPPROTO_TCP].map(|number| number.to_le_bytes()) {
            let [protocol, ..] = protocol;
            batch.add_rule(
                table,
                CHAIN,
                &[
                    Expression::LoadFamily,
                    Expression::Compare(Comparison::Equal, &[family(server)]),
                    Expression::LoadDestination { v6: server.is_ipv6() },
                    Expression::Compare(Comparison::Equal, &address(server)),
                    Expression::LoadTransport,
                    Expression::Compare(Comparison::Equal, &[protocol]),
                    Expression::LoadDestinationPort,
                    Expression::Compare(Comparison::Equal, &DNS_PORT.to_be_bytes()),
                    Expression::Redirect { port: port.get() },
                ],
            );
        }
    }
}

fn family(server: &SocketAddr) -> u8 {
    if server.is_ipv6() {
        nft::NFPROTO_IPV6
    } else {
        nft::NFPROTO_IPV4
    }
}

fn address(server: &SocketAddr) -> Vec<u8> {
    match server {
        SocketAddr::V4(server) => server.ip().octets().to_vec(),
        SocketAddr::V6(server) => server.ip().octets().to_vec(),
    }
}
