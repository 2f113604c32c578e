//! Far end of a capture that uses the tunnel. It maps flows and echo requests to the tunnel's numbers.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use slipway_capture::{ConnectRefusal, Echo, FarEnd, Flow, Replies};
use slipway_tunnel::{PacketReply, Stream, Tunnel, splice};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// Maximum number of echo requests that wait for a reply. The oldest is dropped, as pings may be.
const MOST_ECHOES: u32 = 1024;

/// Far end that takes connections, datagrams and echo requests to the agent. Clones share their state.
#[derive(Clone, Debug)]
pub struct TunnelFarEnd {
    tunnel: Tunnel,
    numbers: Arc<Mutex<Numbers>>,
}

/// Numbers of flows and echo requests in the tunnel.
#[derive(Debug, Default)]
struct Numbers {
    next_flow: u32,
    flows: HashMap<u32, Flow>,
    ids: HashMap<Flow, u32>,
    next_echo: u32,
    echoes: HashMap<u32, Echo>,
}

impl TunnelFarEnd {
    /// Makes the far end of a tunnel.
    #[must_use]
    pub fn new(tunnel: Tunnel) -> Self {
        Self {
            tunnel,
            numbers: Arc::default(),
        }
    }

    /// Returns replies to the programs that sent the packets, until the tunnel is dropped. Cancel-safe.
    pub async fn return_packets(self, mut packets: mpsc::Receiver<PacketReply>, replies: Replies) {
        while let Some(reply) = packets.recv().await {
            self.return_packet(reply, &replies);
        }
    }

    fn return_packet(&self, reply: PacketReply, replies: &Replies) {
        match reply {
            PacketReply::Datagram { flow, payload } => {
                let flow = self.numbers().flows.get(&flow).copied();
                if let Some(flow) = flow {
                    replies.datagram(flow, &payload);
                }
            }
            PacketReply::Undeliverable { flow, refusal: _ } => {
                let flow = self.numbers().forget(flow);
                if let Some(flow) = flow {
                    replies.unreachable(flow);
                }
            }
            PacketReply::Echo { id, payload } => {
                let request = self.numbers().echoes.remove(&id);
                if let Some(request) = request {
                    replies.echo(&Echo { payload, ..request });
                }
            }
        }
    }

    fn numbers(&self) -> MutexGuard<'_, Numbers> {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FarEnd for TunnelFarEnd {
    type Opened = Stream;

    async fn open(&self, to: SocketAddr) -> Result<Stream, ConnectRefusal> {
        self.tunnel.open(to).await.map_err(refusal)
    }

    async fn carry(&self, opened: Stream, _: Flow, program: TcpStream) {
        splice(opened, &program).await;
    }

    fn datagram(&self, flow: Flow, payload: &[u8]) {
        let id = self.numbers().id_of(flow);
        self.tunnel
            .send_datagram(id, flow.to, Bytes::copy_from_slice(payload));
    }

    fn datagrams_ended(&self, flow: Flow) {
        let mut numbers = self.numbers();
        if let Some(id) = numbers.ids.get(&flow).copied() {
            numbers.forget(id);
        }
    }

    fn echo(&self, request: Echo) {
        let (to, payload) = (request.to, request.payload.clone());
        let id = self.numbers().expect_echo(request);
        self.tunnel.echo(id, to, payload);
    }
}

impl Numbers {
    fn id_of(&mut self, flow: Flow) -> u32 {
        if let Some(id) = self.ids.get(&flow) {
            return *id;
        }
        self.next_flow = self.next_flow.wrapping_add(1);
        let id = self.next_flow;
        self.ids.insert(flow, id);
        self.flows.insert(id, flow);
        id
    }

    fn forget(&mut self, id: u32) -> Option<Flow> {
        let flow = self.flows.remove(&id)?;
        self.ids.remove(&flow);
        Some(flow)
    }

    fn expect_echo(&mut self, request: Echo) -> u32 {
        self.next_echo = self.next_echo.wrapping_add(1);
        let id = self.next_echo;
        self.echoes.remove(&id.wrapping_sub(MOST_ECHOES));
        self.echoes.insert(id, request);
        id
    }
}

fn refusal(refusal: slipway_tunnel::StreamRefusal) -> ConnectRefusal {
    match refusal {
        // Lack of room is refused by a reset, which arrives at once even where a firewall drops ICMP.
        slipway_tunnel::StreamRefusal::Refused | slipway_tunnel::StreamRefusal::Exhausted => {
            ConnectRefusal::Refused
        }
        slipway_tunnel::StreamRefusal::HostUnreachable => ConnectRefusal::HostUnreachable,
        slipway_tunnel::StreamRefusal::NetworkUnreachable | slipway_tunnel::StreamRefusal::TunnelEnded => {
            ConnectRefusal::NetworkUnreachable
        }
        slipway_tunnel::StreamRefusal::TimedOut => ConnectRefusal::TimedOut,
        slipway_tunnel::StreamRefusal::Prohibited => ConnectRefusal::Prohibited,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(port: u16) -> Flow {
        Flow {
            from: SocketAddr::from(([198, 18, 0, 1], port)),
            to: SocketAddr::from(([10, 96, 0, 10], 53)),
        }
    }

    #[test]
    fn a_flow_keeps_its_number_until_it_ends() {
        let mut numbers = Numbers::default();
        let first = numbers.id_of(flow(1));
        let second = numbers.id_of(flow(2));
        assert_ne!(first, second);
        assert_eq!(numbers.id_of(flow(1)), first);
        assert_eq!(numbers.forget(first), Some(flow(1)));
        assert_ne!(
            numbers.id_of(flow(1)),
            first,
            "a late reply to the old flow must not reach the new one"
        );
    }

    #[test]
    fn unanswered_echo_requests_are_dropped() {
        let mut numbers = Numbers::default();
        let request = Echo {
            from: [198, 18, 0, 1].into(),
            to: [10, 244, 0, 9].into(),
            ident: 1,
            seq: 1,
            payload: Bytes::new(),
        };
        for _ in 0..MOST_ECHOES * 2 {
            numbers.expect_echo(request.clone());
        }
        assert_eq!(numbers.echoes.len() as u32, MOST_ECHOES);
    }
}
