//! The task that moves packets from the laptop's TUN to where each one goes.
//!
//! It is a task beside those that move a stream's bytes, not a thread of its own: a packet that goes in wakes the
//! stream's task, whose bytes come out as a packet, and on one thread each finds the next without waking another
//! thread. It reads until no packet is left, or until other tasks should have their turn.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::connections::{Connections, Destination};
use crate::dropped::Dropped;
use crate::lost::Lost;
use crate::packet::{self, Content, Tcp, Unreadable};
use crate::questions::Questions;
use crate::replies::Datagrams;
use crate::tcp_back_end::TcpBackEnd;
use crate::tun::{BATCH, LaptopTun, MAX_PACKET, Tun};
use crate::{ConnectRefusal, DnsService, Echo, FarEnd, Flow};

const DNS_PORT: u16 = 53;

/// The pump of the laptop's TUN.
pub(crate) struct Inwards<F: FarEnd, R: DnsService, B: TcpBackEnd> {
    pub(crate) laptop: Arc<LaptopTun>,
    pub(crate) resolver_addresses: Box<[IpAddr]>,
    pub(crate) connections: Arc<Connections<F, R, B>>,
    pub(crate) questions: Questions<R>,
    pub(crate) datagrams: Arc<Datagrams>,
    pub(crate) far: F,
    pub(crate) dropped: Arc<Dropped>,
    pub(crate) lost: mpsc::Sender<Lost>,
}

impl<F: FarEnd, R: DnsService, B: TcpBackEnd> Inwards<F, R, B> {
    /// Moves packets of the attached TUN, and of each that replaces it, until the capture ends.
    pub(crate) async fn run(mut self) {
        let laptop = Arc::clone(&self.laptop);
        let mut current = laptop.watch();
        let mut buffer = vec![0; MAX_PACKET];
        loop {
            let tun = current.borrow_and_update().clone();
            if let Some(tun) = tun {
                let broken = tokio::select! {
                    biased;
                    _ = current.changed() => None,
                    error = self.move_all(&tun, &mut buffer) => Some(error),
                };
                if let Some(error) = broken {
                    tracing::warn!(%error, "the TUN broke");
                    laptop.discard(&tun);
                    let _ = self.lost.try_send(Lost::Tun);
                }
                drop(tun);
                laptop.note_let_go();
            } else if current.changed().await.is_err() {
                return;
            }
        }
    }

    /// Moves packets until the TUN breaks.
    async fn move_all(&mut self, tun: &Tun, buffer: &mut [u8]) -> io::Error {
        loop {
            if let Err(error) = tun.take(BATCH, buffer, |packet| self.take(packet)).await {
                return error;
            }
        }
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
        if self.connections.back_end().let_out(flow, tcp, bytes) {
            return;
        }
        if tcp.opens() {
            let destination = match (self.is_resolver(flow.to.ip()), flow.to.port()) {
                (true, DNS_PORT) => Destination::DnsService,
                _ if self.connections.back_end().is_self_test(flow) => Destination::SelfTest,
                (true, _) => return self.connections.refuse(bytes, ConnectRefusal::Refused),
                (false, _) => Destination::FarEnd,
            };
            if !self.connections.syn(flow, destination, tcp.seq, bytes) {
                return;
            }
        } else if tcp.resets() {
            self.connections.reset(flow);
        }
        self.connections.back_end().let_in(flow, tcp, bytes);
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

    /// Whether an address is one host's. The far end does not get what the laptop's kernel sends to the link itself.
    fn is_carried(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(v4) => !v4.is_multicast() && !v4.is_broadcast(),
            IpAddr::V6(v6) => !v6.is_multicast() && !v6.is_unicast_link_local(),
        }
    }
}
