//! Rewriting, the back end without a namespace: TCP packets get other addresses and ports, so that they arrive at a
//! listener on the laptop's own address in the TUN.
//!
//! The listener sees connections from the TUN's other address, each from a port that stands for a whole flow
//! ([`Translations`]). Its answers to that address come out of the TUN again, get the original addresses back and go
//! in as if the program's destination had sent them. Only connections that were let in are served: any other client
//! of the listener has no port of that address.
//!
//! Unlike the private namespace, this passes the laptop's own input filter, so a self-test runs at the start.

mod back_end;
mod self_test;
mod translations;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

pub(crate) use self::back_end::RewritingBackEnd;
use self::translations::Translations;
use crate::packet::{Tcp, readdress};
use crate::{Flow, TunAddresses};

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 4096;
/// The ports that connections seem to come from, one each. Their number limits the open connections of a family.
const PORTS: std::ops::RangeInclusive<u16> = 1024..=u16::MAX;

/// The listeners' addresses and translations.
#[derive(Debug)]
struct Rewriting {
    families: Vec<Family>,
}

#[derive(Debug)]
struct Family {
    addresses: TunAddresses,
    translations: Mutex<Translations>,
}

impl Rewriting {
    /// Listens on every address that the laptop has in the TUN.
    fn start(addresses: &[TunAddresses]) -> io::Result<(Self, Vec<TcpListener>)> {
        let mut families = Vec::new();
        let mut listeners = Vec::new();
        for addresses in addresses {
            let listener = bind(addresses.laptop)?;
            let translations = Translations::new(listener.local_addr()?, addresses.other, PORTS);
            families.push(Family {
                addresses: *addresses,
                translations: Mutex::new(translations),
            });
            listeners.push(listener);
        }
        if listeners.is_empty() {
            return Err(io::ErrorKind::AddrNotAvailable.into());
        }
        Ok((Self { families }, listeners))
    }

    /// The addresses that are listened on.
    fn addresses(&self) -> impl Iterator<Item = TunAddresses> {
        self.families.iter().map(|family| family.addresses)
    }

    /// Rewrites a listener's answer into the packet for the program, if it is one.
    fn outwards(&self, flow: Flow, tcp: Tcp, packet: &mut [u8]) -> Answer {
        let Some(mut translations) = self.of(flow.from) else {
            return Answer::None;
        };
        if !translations.is_answer(flow) {
            return Answer::None;
        }
        let ends = translations.outwards(flow.to.port(), tcp);
        drop(translations);
        match ends {
            Some(ends) if readdress(packet, ends) => Answer::Known,
            Some(_) | None => Answer::Stray,
        }
    }

    /// Rewrites a program's segment into the packet for the listener. Returns whether its connection is known.
    fn inwards(&self, flow: Flow, tcp: Tcp, packet: &mut [u8]) -> bool {
        let ends = self.of(flow.from).and_then(|mut known| known.inwards(flow, tcp));
        ends.is_some_and(|ends| readdress(packet, ends))
    }

    /// Rewrites a SYN into the packet for the listener. Returns whether there was a free port.
    fn admit(&self, now: Instant, flow: Flow, syn: &mut [u8]) -> bool {
        let ends = self.of(flow.from).and_then(|mut known| known.admit(now, flow));
        ends.is_some_and(|ends| readdress(syn, ends))
    }

    /// The connection of a socket that was accepted from `from`.
    fn accepted(&self, from: SocketAddr) -> Option<Flow> {
        self.of(from)?.accepted(from)
    }

    /// The socket that was accepted from `from` for `flow` is closed.
    fn release(&self, from: SocketAddr, flow: Flow) {
        if let Some(mut known) = self.of(from) {
            known.release(from, flow);
        }
    }

    /// Forgets connections that are over.
    fn expire(&self, now: Instant) {
        for family in &self.families {
            family.lock().expire(now);
        }
    }

    fn of(&self, end: SocketAddr) -> Option<MutexGuard<'_, Translations>> {
        let fits = |family: &&Family| family.addresses.laptop.is_ipv4() == end.is_ipv4();
        self.families.iter().find(fits).map(Family::lock)
    }
}

/// What a packet was, and what it was rewritten to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// Not an answer of a listener.
    None,
    /// An answer, rewritten into the packet for the program.
    Known,
    /// An answer in a connection that is over.
    Stray,
}

impl Family {
    fn lock(&self) -> MutexGuard<'_, Translations> {
        self.translations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bind(address: IpAddr) -> io::Result<TcpListener> {
    let at = SocketAddr::new(address, 0);
    let socket = Socket::new(
        Domain::for_address(at),
        Type::STREAM.nonblocking().cloexec(),
        Some(Protocol::TCP),
    )?;
    socket.bind(&at.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}
