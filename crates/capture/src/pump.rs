//! The two threads that move packets: from the program's TUN inwards, and from the private TUN outwards.
//!
//! Threads rather than tasks: moving packets is system calls only, and a runtime busy with other work must not
//! delay them; tasks were no faster when measured. Each reads until nothing is left, then sleeps in poll().

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::EventFd;
use tokio::sync::mpsc;

use crate::capture::Lost;
use crate::connections::{Connections, Towards};
use crate::dropped::Dropped;
use crate::packet::{self, Content, Tcp, Unreadable};
use crate::questions::Questions;
use crate::replies::Datagrams;
use crate::tun::{LaptopTun, MAX_PACKET, Tun};
use crate::{Echo, FarEnd, Flow, Refusal, Resolver};

const DNS_PORT: u16 = 53;
/// Packets read at a time before looking whether the pump is to stop.
const BATCH: usize = 256;

/// From the program's TUN to wherever each packet goes.
pub(crate) struct Inwards<F: FarEnd, R: Resolver> {
    pub(crate) laptop: Arc<LaptopTun>,
    pub(crate) resolver_addresses: Box<[IpAddr]>,
    pub(crate) connections: Arc<Connections<F, R>>,
    pub(crate) questions: Questions<R>,
    pub(crate) datagrams: Arc<Datagrams>,
    pub(crate) far: F,
    pub(crate) dropped: Arc<Dropped>,
    pub(crate) lost: mpsc::Sender<Lost>,
    pub(crate) stop: Arc<AtomicBool>,
}

/// From the private TUN to the program's.
pub(crate) struct Outwards {
    pub(crate) laptop: Arc<LaptopTun>,
    pub(crate) private: Arc<Tun>,
    pub(crate) wake: Arc<EventFd>,
    pub(crate) stop: Arc<AtomicBool>,
}

impl<F: FarEnd, R: Resolver> Inwards<F, R> {
    /// Moves packets until told to stop.
    pub(crate) fn run(mut self) {
        let laptop = Arc::clone(&self.laptop);
        let mut tun = laptop.take_over();
        let mut buffer = vec![0; MAX_PACKET];
        while !self.stop.load(Ordering::Acquire) {
            let readiness = wait(laptop.woken(), tun.as_deref().map(AsFd::as_fd));
            if readiness.woken {
                // Let go first: taking over tells the others that the one before is closed.
                drop(tun.take());
                tun = laptop.take_over();
                continue;
            }
            let Some(source) = tun.take() else { continue };
            match read_batch(&source, &mut buffer, |packet| self.take(packet)) {
                Ok(()) => tun = Some(source),
                Err(error) => {
                    tracing::warn!(%error, "the TUN broke");
                    laptop.discard(&source);
                    let _ = self.lost.try_send(Lost::Tun);
                }
            }
        }
        drop(tun);
        laptop.reader_gone();
    }

    fn take(&mut self, bytes: &mut [u8]) {
        let packet = match packet::read(bytes) {
            Ok(packet) => packet,
            Err(Unreadable::Malformed) => return self.dropped.malformed.count(),
            Err(Unreadable::Fragment) => return self.dropped.fragments.count(),
        };
        match packet.content {
            Content::Tcp(tcp) => {
                let flow = packet.flow(tcp.from_port, tcp.to_port);
                self.take_tcp(flow, tcp, bytes);
            }
            Content::Udp {
                from_port,
                to_port,
                payload,
            } => {
                self.take_datagram(packet.flow(from_port, to_port), payload);
            }
            Content::EchoRequest { ident, seq, payload } => {
                if self.is_carried(packet.to) && !self.is_resolver(packet.to) {
                    let (from, to) = (packet.from, packet.to);
                    self.far.echo(Echo {
                        from,
                        to,
                        ident,
                        seq,
                        payload: Bytes::copy_from_slice(payload),
                    });
                }
            }
            Content::Other(_) => {}
        }
    }

    fn take_tcp(&self, flow: Flow, tcp: Tcp, bytes: &mut [u8]) {
        if self.connections.let_out(flow, tcp, bytes) {
            return;
        }
        if tcp.opens() {
            let towards = match (self.is_resolver(flow.to.ip()), flow.to.port()) {
                (true, DNS_PORT) => Towards::Resolver,
                _ if self.connections.is_self_test(flow) => Towards::SelfTest,
                (true, _) => return self.connections.refuse(bytes, Refusal::Refused),
                (false, _) => Towards::FarEnd,
            };
            if !self.connections.syn(flow, towards, tcp.seq, bytes) {
                return;
            }
        } else if tcp.resets() {
            self.connections.reset(flow);
        }
        self.connections.let_in(flow, tcp, bytes);
    }

    fn take_datagram(&mut self, flow: Flow, payload: &[u8]) {
        if self.is_resolver(flow.to.ip()) {
            return match flow.to.port() {
                DNS_PORT => self.questions.ask(flow, payload),
                _ => self.datagrams.port_unreachable(flow),
            };
        }
        if !self.is_carried(flow.to.ip()) {
            return;
        }
        if let Some(over) = self.datagrams.sent(flow) {
            self.far.datagrams_ended(over);
        }
        self.far.datagram(flow, payload);
    }

    fn is_resolver(&self, address: IpAddr) -> bool {
        self.resolver_addresses.contains(&address)
    }

    /// Whether an address is one host's. What the laptop's kernel says to the link itself is not for the far end.
    fn is_carried(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(v4) => !v4.is_multicast() && !v4.is_broadcast(),
            IpAddr::V6(v6) => !v6.is_multicast() && !v6.is_unicast_link_local(),
        }
    }
}

impl Outwards {
    /// Moves packets until told to stop.
    pub(crate) fn run(self) {
        let mut buffer = vec![0; MAX_PACKET];
        while !self.stop.load(Ordering::Acquire) {
            let readiness = wait(self.wake.as_fd(), Some(self.private.as_fd()));
            if !readiness.packets {
                continue;
            }
            let moved = read_batch(&self.private, &mut buffer, |packet| {
                if is_tcp(packet) {
                    self.laptop.write(packet);
                }
            });
            if let Err(error) = moved {
                // The device cannot go while it is open.
                tracing::error!(%error, "the private TUN broke");
                return;
            }
        }
    }
}

/// The private namespace has nothing to say to the program but TCP. Its headers have no extensions.
fn is_tcp(packet: &[u8]) -> bool {
    const TCP: u8 = 6;
    match packet.first().map(|first| first >> 4) {
        Some(4) => packet.get(9) == Some(&TCP),
        Some(6) => packet.get(6) == Some(&TCP),
        Some(_) | None => false,
    }
}

struct Readiness {
    woken: bool,
    packets: bool,
}

/// Sleeps until there are packets or somebody wakes the pump.
fn wait(wake: BorrowedFd<'_>, tun: Option<BorrowedFd<'_>>) -> Readiness {
    // Two places at any time: without a TUN, the wake stands in for it.
    let mut files = [
        PollFd::new(wake, PollFlags::POLLIN),
        PollFd::new(tun.unwrap_or(wake), PollFlags::POLLIN),
    ];
    match poll(&mut files, PollTimeout::NONE) {
        Ok(_) => {
            let [woken, packets] = files.map(|file| file.any().unwrap_or(true));
            Readiness {
                woken,
                packets: packets && tun.is_some(),
            }
        }
        Err(_interrupted) => Readiness {
            woken: false,
            packets: false,
        },
    }
}

/// Reads packets until there is none or a batch is full.
fn read_batch(tun: &Tun, buffer: &mut [u8], mut take: impl FnMut(&mut [u8])) -> io::Result<()> {
    for _ in 0..BATCH {
        match tun.read(buffer) {
            Ok(len) => take(buffer.get_mut(..len).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
