//! DNS by redirect: queries to the laptop's own name servers land at the session's resolver on loopback. The laptop's
//! files stay as they are.
//!
//! Each lease has a table of its own, owned by a netlink socket: others can neither change nor delete it, and the kernel
//! removes it when the socket closes, however the helper ends.
//!
//! The kernel decides about a redirect once per connection, and remembers the two ports of a datagram for half a minute or
//! more where anything on the laptop tracks connections, as any firewall does. So redirected questions are connections of
//! a zone of their own: else a port from which a program asked just before would be a way round the redirect, and one from
//! which it asked meanwhile would lead nowhere afterwards. The zone has the number of the port that they are redirected
//! to, so that what is remembered of an earlier session, whose port is closed, is in another one.

mod nft;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use nix::errno::Errno;
use slipway_helper_api::{RedirectPort, Slot};

use nft::{Batch, Chain, Expression, NfSocket};

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
    /// Whether the kernel has zones of connections.
    zones: bool,
}

impl Redirect {
    /// Loads the table of a slot.
    pub(crate) fn load(slot: Slot, servers: &[SocketAddr], port: RedirectPort) -> Result<Self, Errno> {
        let load = |zones| {
            let socket = NfSocket::open()?;
            socket.commit(new_table(slot, servers, port, zones))?;
            Ok(Self { socket, slot, zones })
        };
        match load(true) {
            Err(Errno::EOPNOTSUPP | Errno::EINVAL | Errno::ENOENT) => {
                let redirect = load(false)?;
                tracing::info!(
                    "this kernel has no zones of connections; ports in use lead where they led for a minute"
                );
                Ok(redirect)
            }
            loaded => loaded,
        }
    }

    /// Changes servers and port, at once and without a gap.
    pub(crate) fn reload(&self, servers: &[SocketAddr], port: RedirectPort) -> Result<(), Errno> {
        let table = table(self.slot);
        let mut batch = Batch::new();
        batch.flush_chain(&table, CHAIN);
        add_rules(&mut batch, &table, self.slot, servers, port);
        if self.zones {
            batch.flush_chain(&table, ZONE_CHAIN);
            add_zone_rules(&mut batch, &table, self.slot, servers, port);
        }
        self.socket.commit(batch)
    }
}

const CHAIN: &str = "output";
const ZONE_CHAIN: &str = "zone";
const DNS_PORT: u16 = 53;

fn table(slot: Slot) -> String {
    format!("slipway-{slot}")
}

fn new_table(slot: Slot, servers: &[SocketAddr], port: RedirectPort, zones: bool) -> Batch {
    let table = table(slot);
    let mut batch = Batch::new();
    batch.add_owned_table(&table);
    // The chain of a younger lease runs first. It lets the marks of older ones pass as well: their questions have been
    // through their own session, and would otherwise go round in circles.
    let younger_first = |priority: i32| priority - i32::from(slot.get());
    batch.add_chain(
        &table,
        Chain {
            name: CHAIN,
            kind: "nat",
            hook: nft::HOOK_LOCAL_OUT,
            priority: younger_first(-100),
        },
    );
    add_rules(&mut batch, &table, slot, servers, port);
    if zones {
        batch.add_chain(
            &table,
            Chain {
                name: ZONE_CHAIN,
                kind: "filter",
                hook: nft::HOOK_LOCAL_OUT,
                // Before the kernel looks for a packet's connection, which it does at -200.
                priority: younger_first(-300),
            },
        );
        add_zone_rules(&mut batch, &table, slot, servers, port);
    }
    batch
}

fn add_rules(batch: &mut Batch, table: &str, slot: Slot, servers: &[SocketAddr], port: RedirectPort) {
    let redirect = || Expression::Redirect { port: port.get() };
    add_question_rules(batch, table, CHAIN, slot, servers, redirect);
}

/// The questions that are redirected, and what comes back, which leaves from loopback.
fn add_zone_rules(batch: &mut Batch, table: &str, slot: Slot, servers: &[SocketAddr], port: RedirectPort) {
    let zone = || Expression::SetZone(port.get());
    add_question_rules(batch, table, ZONE_CHAIN, slot, servers, zone);
    for loopback in [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
        let v6 = loopback.is_ipv6();
        for protocol in PROTOCOLS {
            batch.add_rule(
                table,
                ZONE_CHAIN,
                &[
                    Expression::LoadFamily,
                    Expression::Equals(&[family(loopback)]),
                    Expression::LoadSource { v6 },
                    Expression::Equals(&address(loopback)),
                    Expression::LoadTransport,
                    Expression::Equals(&[protocol]),
                    Expression::LoadSourcePort,
                    Expression::Equals(&port.get().to_be_bytes()),
                    zone(),
                ],
            );
        }
    }
}

/// Does something to every question to one of the servers, apart from those that sessions ask.
fn add_question_rules(
    batch: &mut Batch,
    table: &str,
    chain: &str,
    slot: Slot,
    servers: &[SocketAddr],
    then: impl Fn() -> Expression<'static>,
) {
    for passing in Slot::all().take_while(|other| *other <= slot) {
        batch.add_rule(
            table,
            chain,
            &[
                Expression::LoadMark,
                // The mark is a number of the host's, not of the network's.
                Expression::Equals(&mark(passing).to_ne_bytes()),
                Expression::Return,
            ],
        );
    }
    for server in servers.iter().map(SocketAddr::ip) {
        for protocol in PROTOCOLS {
            batch.add_rule(
                table,
                chain,
                &[
                    Expression::LoadFamily,
                    Expression::Equals(&[family(server)]),
                    Expression::LoadDestination { v6: server.is_ipv6() },
                    Expression::Equals(&address(server)),
                    Expression::LoadTransport,
                    Expression::Equals(&[protocol]),
                    Expression::LoadDestinationPort,
                    Expression::Equals(&DNS_PORT.to_be_bytes()),
                    then(),
                ],
            );
        }
    }
}

/// UDP and TCP.
const PROTOCOLS: [u8; 2] = [17, 6];

fn family(address: IpAddr) -> u8 {
    if address.is_ipv6() {
        nft::NFPROTO_IPV6
    } else {
        nft::NFPROTO_IPV4
    }
}

fn address(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}
