//! The back end that rewrites segments and sends them through the laptop's TUN again.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::self_test::{SELF_TEST_PORT, passes};
use super::{Answer, Rewriting};
use crate::packet::{self, Tcp};
use crate::tcp_back_end::TcpBackEnd;
use crate::tun::LaptopTun;
use crate::{Flow, TunAddresses};

/// Rewriting, with the TUN that all of its packets pass.
#[derive(Debug)]
pub(crate) struct RewritingBackEnd {
    rewriting: Rewriting,
    laptop: Arc<LaptopTun>,
    /// The address from which the self-test connects, while it runs.
    self_test: Mutex<Option<SocketAddr>>,
}

impl RewritingBackEnd {
    /// Listens on every address that the laptop has in the TUN. The caller accepts on the listeners.
    pub(crate) fn start(
        addresses: &[TunAddresses],
        laptop: Arc<LaptopTun>,
    ) -> io::Result<(Self, Vec<TcpListener>)> {
        let (rewriting, listeners) = Rewriting::start(addresses)?;
        let back_end = Self {
            rewriting,
            laptop,
            self_test: Mutex::default(),
        };
        Ok((back_end, listeners))
    }

    /// Shows that connections arrive at the listeners.
    ///
    /// # Errors
    /// The result of the first connection that did not arrive.
    pub(crate) async fn self_test(&self) -> io::Result<()> {
        for addresses in self.rewriting.addresses() {
            let tested = passes(addresses, |end| *self.expected() = Some(end)).await;
            *self.expected() = None;
            tested?;
        }
        Ok(())
    }

    /// Answers a segment of an unknown connection, as a kernel would.
    fn break_off(&self, segment: &[u8]) {
        let mut answer = Vec::new();
        if packet::write_break(&mut answer, segment).is_ok() {
            self.laptop.write(&answer);
        }
    }

    fn expected(&self) -> MutexGuard<'_, Option<SocketAddr>> {
        self.self_test.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TcpBackEnd for RewritingBackEnd {
    fn let_in(&self, flow: Flow, tcp: Tcp, segment: &mut [u8]) {
        if self.rewriting.inwards(flow, tcp, segment) {
            self.laptop.write(segment);
        } else {
            self.break_off(segment);
        }
    }

    fn let_out(&self, flow: Flow, tcp: Tcp, segment: &mut [u8]) -> bool {
        match self.rewriting.outwards(flow, tcp, segment) {
            Answer::None => return false,
            Answer::Known => self.laptop.write(segment),
            Answer::Stray => self.break_off(segment),
        }
        true
    }

    fn admit(&self, now: Instant, flow: Flow, mut syn: Box<[u8]>) -> bool {
        let admitted = self.rewriting.admit(now, flow, &mut syn);
        if admitted {
            self.laptop.write(&syn);
        }
        admitted
    }

    /// One listener for each family is there for all ports, all the time.
    async fn listen(
        &self,
        _port: u16,
        _accept: impl FnOnce(TcpListener) -> JoinHandle<()> + Send,
    ) -> io::Result<()> {
        Ok(())
    }

    fn flow_of(&self, _program: &TcpStream, from: SocketAddr) -> Option<Flow> {
        self.rewriting.accepted(from)
    }

    fn release(&self, from: SocketAddr, flow: Flow) {
        self.rewriting.release(from, flow);
    }

    fn expire(&self, now: Instant) {
        self.rewriting.expire(now);
    }

    fn is_self_test(&self, flow: Flow) -> bool {
        flow.to.port() == SELF_TEST_PORT && *self.expected() == Some(flow.from)
    }
}
