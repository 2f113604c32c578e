//! DNS redirect with nftables: queries to the laptop's own name servers land at the session's resolver on loopback.
//! Each server has its own port there, so the session knows which server a program asked. The laptop's files stay as
//! they are.
//!
//! Each lease has its own table, which a netlink socket owns: other programs can neither change nor delete it, and the
//! kernel removes it when the socket closes, however the helper ends.
//!
//! # Why connection tracking zones
//! The kernel decides about a redirect once per connection. Where anything on the laptop tracks connections, as any
//! firewall does, it also remembers the two ports of a datagram for half a minute or more. A program that asked from a
//! port just before the redirect would bypass it from that port, and after the redirect has ended its questions from
//! that port would be sent to a closed one. Therefore redirected questions are tracked in their own zone. The zone's
//! number is the port to which they are redirected, so entries of an earlier session, whose port is closed, do not
//! match.

mod nft;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use nix::errno::Errno;
use slipway_helper_api::{RedirectPort, Slot};

use nft::{Batch, Chain, Expression, NfSocket};

/// Packet mark of slot 0's sockets; slot k's mark is k more. It avoids the bits that other software tests: kube-proxy's
/// 0x4000 and 0x8000, Cilium's 0x0f00, Tailscale's 0x40000 and 0x80000 under 0xff0000, and WireGuard's 0xca6c.
const MARK_BASE: u32 = 0x534c_1000;

/// Packet mark of a lease's own sockets, which its redirect and those of higher slots let pass.
pub(crate) fn mark(slot: Slot) -> u32 {
    MARK_BASE + u32::from(slot.get())
}

/// Name server of the laptop, and the session's port for questions to it.
pub(crate) type Target = (SocketAddr, RedirectPort);

/// Loaded nftables table of a lease. Dropping it unloads it.
#[derive(Debug)]
pub(crate) struct Redirect {
    socket: NfSocket,
    slot: Slot,
    /// Whether the kernel supports connection tracking zones in nftables.
    zones: bool,
}

impl Redirect {
    /// Loads a slot's table, without zones if the kernel does not support them.
    pub(crate) fn load(slot: Slot, targets: &[Target]) -> Result<Self, Errno> {
        let load = |zones| {
            let socket = NfSocket::open()?;
            socket.commit(new_table(slot, targets, zones))?;
            Ok(Self { socket, slot, zones })
        };
        match load(true) {
            Err(Errno::EOPNOTSUPP | Errno::EINVAL | Errno::ENOENT) => {
                let redirect = load(false)?;
                tracing::info!(
                    "this kernel lacks conntrack zones; the redirect may miss ports in use for a minute"
                );
                Ok(redirect)
            }
            loaded => loaded,
        }
    }

    /// Replaces servers and ports in one transaction.
    pub(crate) fn reload(&self, targets: &[Target]) -> Result<(), Errno> {
        let table = table(self.slot);
        let mut batch = Batch::new();
        batch.flush_chain(&table, CHAIN);
        add_rules(&mut batch, &table, self.slot, targets);
        if self.zones {
            batch.flush_chain(&table, ZONE_CHAIN);
            add_zone_rules(&mut batch, &table, self.slot, targets);
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

fn new_table(slot: Slot, targets: &[Target], zones: bool) -> Batch {
    let table = table(slot);
    let mut batch = Batch::new();
    batch.add_owned_table(&table);
    // The chain of a higher slot runs first. It also lets the marks of lower slots pass: their questions have already
    // been through their own session, and would otherwise loop between the sessions.
    let higher_first = |priority: i32| priority - i32::from(slot.get());
    batch.add_chain(
        &table,
        Chain {
            name: CHAIN,
            kind: "nat",
            hook: nft::HOOK_LOCAL_OUT,
            priority: higher_first(-100),
        },
    );
    add_rules(&mut batch, &table, slot, targets);
    if zones {
        batch.add_chain(
            &table,
            Chain {
                name: ZONE_CHAIN,
                kind: "filter",
                hook: nft::HOOK_LOCAL_OUT,
                // Before connection tracking, which runs at -200.
                priority: higher_first(-300),
            },
        );
        add_zone_rules(&mut batch, &table, slot, targets);
    }
    batch
}

fn add_rules(batch: &mut Batch, table: &str, slot: Slot, targets: &[Target]) {
    let redirect = |port: RedirectPort| Expression::Redirect { port: port.get() };
    add_question_rules(batch, table, CHAIN, slot, targets, redirect);
}

/// Puts redirected questions, and their answers from loopback, into the zone.
fn add_zone_rules(batch: &mut Batch, table: &str, slot: Slot, targets: &[Target]) {
    let zone = |port: RedirectPort| Expression::SetZone(port.get());
    add_question_rules(batch, table, ZONE_CHAIN, slot, targets, zone);
    let loopbacks = [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()];
    for (loopback, port) in loopbacks
        .into_iter()
        .flat_map(|loopback| targets.iter().map(move |(_, port)| (loopback, *port)))
    {
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
                    zone(port),
                ],
            );
        }
    }
}

/// Applies `then` to every question to one of the servers, except questions from sessions.
fn add_question_rules(
    batch: &mut Batch,
    table: &str,
    chain: &str,
    slot: Slot,
    targets: &[Target],
    then: impl Fn(RedirectPort) -> Expression<'static>,
) {
    for passing in Slot::all().take_while(|other| *other <= slot) {
        batch.add_rule(
            table,
            chain,
            &[
                Expression::LoadMark,
                // Marks are in host byte order.
                Expression::Equals(&mark(passing).to_ne_bytes()),
                Expression::Return,
            ],
        );
    }
    for (server, port) in targets.iter().map(|(server, port)| (server.ip(), *port)) {
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
                    then(port),
                ],
            );
        }
    }
}

/// IP protocol numbers of UDP and TCP.
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
