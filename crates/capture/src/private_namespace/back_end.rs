//! The back end that lets packets into the private namespace unchanged.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use super::PrivateNamespace;
use super::listeners::Listeners;
use super::outwards::Outwards;
use crate::Flow;
use crate::packet::Tcp;
use crate::tcp_back_end::TcpBackEnd;
use crate::tun::{LaptopTun, Tun};

/// The private namespace's TUN, with the listeners behind it.
#[derive(Debug)]
pub(crate) struct NamespaceBackEnd {
    listeners: Mutex<Listeners>,
    tun: Arc<Tun>,
}

impl NamespaceBackEnd {
    /// The back end of a namespace, and the pump that moves its packets to the laptop's TUN.
    pub(crate) fn new(namespace: PrivateNamespace, tun: Tun, laptop: Arc<LaptopTun>) -> (Self, Outwards) {
        let tun = Arc::new(tun);
        let outwards = Outwards {
            laptop,
            private: Arc::clone(&tun),
        };
        let listeners = Mutex::new(Listeners::new(namespace));
        (Self { listeners, tun }, outwards)
    }
}

impl TcpBackEnd for NamespaceBackEnd {
    fn let_in(&self, _flow: Flow, _tcp: Tcp, segment: &mut [u8]) {
        self.tun.write(segment);
    }

    fn admit(&self, _now: Instant, _flow: Flow, syn: Box<[u8]>) -> bool {
        self.tun.write(&syn);
        true
    }

    async fn listen(
        &self,
        port: u16,
        accept: impl FnOnce(TcpListener) -> JoinHandle<()> + Send,
    ) -> io::Result<()> {
        self.listeners.lock().await.listen(port, accept).await
    }

    /// Every address is local in the namespace, so the socket's own name is the program's destination.
    fn flow_of(&self, program: &TcpStream, from: SocketAddr) -> Option<Flow> {
        Some(Flow {
            from: canonical(from),
            to: canonical(program.local_addr().ok()?),
        })
    }
}

/// An address as it is in packets: a listener for both families shows IPv4 as IPv6 (RFC 4291 section 2.5.5.2).
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
