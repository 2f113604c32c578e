//! DNS over UDP: queries in packets go to the resolver, and its answers leave as packets.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::dropped::Dropped;
use crate::limits::ANSWER_LIMIT;
use crate::packet;
use crate::tasks::Tasks;
use crate::tun::LaptopTun;
use crate::{Answer, DnsService, Flow};

/// How many questions may wait for an answer at a time.
const MAX_WAITING: usize = 1024;

/// Answers queries, in the pump's task if the resolver has the answer at once.
pub(crate) struct Questions<R> {
    resolver: R,
    laptop: Arc<LaptopTun>,
    waiting: Arc<Semaphore>,
    dropped: Arc<Dropped>,
    tasks: Tasks,
    answer: Vec<u8>,
    packet: Vec<u8>,
}

impl<R: DnsService> Questions<R> {
    pub(crate) fn new(resolver: R, laptop: Arc<LaptopTun>, dropped: Arc<Dropped>, tasks: Tasks) -> Self {
        let waiting = Arc::new(Semaphore::new(MAX_WAITING));
        Self {
            resolver,
            laptop,
            waiting,
            dropped,
            tasks,
            answer: Vec::new(),
            packet: Vec::new(),
        }
    }

    /// Answers a query, at once or from a task.
    pub(crate) fn ask(&mut self, flow: Flow, query: &[u8]) {
        self.answer.clear();
        match self.resolver.try_answer(query, &mut self.answer) {
            Answer::Ready => reply(&self.laptop, &mut self.packet, flow, &self.answer),
            Answer::None => {}
            Answer::Later => self.ask_later(flow, query),
        }
    }

    fn ask_later(&self, flow: Flow, query: &[u8]) {
        let Ok(permit) = Arc::clone(&self.waiting).try_acquire_owned() else {
            return self.dropped.questions.count();
        };
        let (resolver, laptop) = (self.resolver.clone(), Arc::clone(&self.laptop));
        let query = Bytes::copy_from_slice(query);
        self.tasks.spawn(async move {
            let answer = timeout(ANSWER_LIMIT, resolver.answer(query, flow.from)).await;
            drop(permit);
            if let Ok(Some(answer)) = answer {
                reply(&laptop, &mut Vec::new(), flow, &answer);
            }
        });
    }
}

fn reply(laptop: &LaptopTun, packet: &mut Vec<u8>, Flow { from, to }: Flow, answer: &[u8]) {
    let (program, resolver): (SocketAddr, SocketAddr) = (from, to);
    match packet::write_udp(packet, resolver, program, answer) {
        Ok(()) => laptop.write(packet),
        Err(error) => tracing::debug!(?error, "dropped a DNS answer that does not fit a packet"),
    }
}
