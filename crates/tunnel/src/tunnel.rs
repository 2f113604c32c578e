//! Asynchronous shell around the core, for carriers, streams and questions.

mod carrying;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot, watch};

use crate::carrier::CarrierId;
use crate::core::{Core, Event, Full, Role};
use crate::frame::{AskError, Farewell, Frame, FrameError, ResetCause, StreamRefusal};
use crate::limits::Limits;
use crate::reply::{FromAgent, PacketReply};
use crate::request::{Asked, Echo, Incoming, OpenRequest, Request};
use crate::shared_core::{SharedCore, now};
use crate::stream::Stream;

/// Capacity of the queues for requests of the client and for replies to its packets.
const WAITING: usize = 4096;

/// Capacity of the queue for farewells. Each run of the agent sends one.
const FAREWELLS: usize = 8;

/// One end of a tunnel. Clones share it.
#[derive(Clone, Debug)]
pub struct Tunnel {
    shared: Arc<Shared>,
}

/// State that carriers, streams and handles of one tunnel share.
#[derive(Debug)]
struct Shared {
    core: Arc<SharedCore>,
    questions: Mutex<Questions>,
    carriers: watch::Sender<usize>,
    upward: Upward,
}

#[derive(Debug, Default)]
struct Questions {
    next: u32,
    waiting: HashMap<u32, oneshot::Sender<Result<Bytes, AskError>>>,
}

#[derive(Debug)]
enum Upward {
    Client {
        packets: mpsc::Sender<PacketReply>,
        farewells: mpsc::Sender<Farewell>,
    },
    Agent(mpsc::Sender<Request>),
}

/// Reason for which a carrier ended.
#[derive(Debug, thiserror::Error)]
pub enum CarrierEnd {
    /// The peer closed the carrier.
    #[error("the carrier was closed")]
    Closed,
    /// Reading or writing failed.
    #[error("the carrier broke")]
    Broken(#[from] io::Error),
    /// Nothing arrived for too long, not even an answer to a ping.
    #[error("nothing arrived over the carrier for too long")]
    Silent,
    /// The bytes that arrived are no frames.
    #[error("the carrier delivered bytes that are not tunnel frames")]
    Garbled(#[from] FrameError),
    /// The peer sent a frame that its role does not allow.
    #[error("the peer violated the tunnel protocol")]
    Breach,
}

/// Measurements of a tunnel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Shortest recent round trip of all carriers.
    pub rtt: Option<Duration>,
    /// Number of stream bytes sent.
    pub sent: u64,
    /// Number of stream bytes received.
    pub received: u64,
    /// Number of streams that are open or being opened.
    pub streams: usize,
    /// The end that has no room for another stream.
    pub full: Option<Full>,
    /// Number of carriers that are alive.
    pub carriers: usize,
    /// Number of datagrams that were dropped because the queue was full.
    pub dropped_datagrams: u64,
}

impl Tunnel {
    /// Creates the laptop's end, with the queues of what the agent sends outside of streams.
    pub fn client(limits: Limits) -> (Tunnel, FromAgent) {
        let (packet_sender, packets) = mpsc::channel(WAITING);
        let (farewell_sender, farewells) = mpsc::channel(FAREWELLS);
        let upward = Upward::Client {
            packets: packet_sender,
            farewells: farewell_sender,
        };
        let tunnel = Tunnel::new(Role::Client, limits, upward);
        (tunnel, FromAgent { packets, farewells })
    }

    /// Creates the agent's end, with the queue of the client's requests.
    pub fn agent(limits: Limits) -> (Tunnel, Incoming) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (Tunnel::new(Role::Agent, limits, Upward::Agent(sender)), receiver)
    }

    fn new(role: Role, limits: Limits, upward: Upward) -> Tunnel {
        let shared = Shared {
            core: Arc::new(SharedCore::new(Core::new(role, limits))),
            questions: Mutex::default(),
            carriers: watch::Sender::new(0),
            upward,
        };
        Tunnel {
            shared: Arc::new(shared),
        }
    }

    /// Uses a carrier, after its proof, until it ends. Frames that it may have lost are sent again over another one.
    ///
    /// Dropping the future ends the carrier.
    pub async fn carry<R, W>(&self, reader: R, writer: W) -> CarrierEnd
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let (id, wake) = self.shared.core().attach(now());
        let _attached = Attached {
            shared: &self.shared,
            id,
        };
        self.shared.count_carriers();
        tokio::select! {
            end = carrying::read_frames(&self.shared, id, reader) => end,
            end = carrying::write_frames(&self.shared, id, writer, &wake) => end,
            end = carrying::judge_silence(&self.shared, id) => end,
        }
    }

    /// Suspects all carriers, as after a change of the network: one that does not answer a ping soon is given up. Nothing
    /// is lost if it was alive, because its frames are sent again over another one.
    pub fn suspect_carriers(&self) {
        self.shared.core().suspect_all(now());
    }

    /// Watches the number of carriers that are alive. One whose answer to a ping is overdue does not count until it answers.
    pub fn carriers(&self) -> watch::Receiver<usize> {
        self.shared.carriers.subscribe()
    }

    /// Opens a TCP connection from the agent, and waits until it is established. Without a carrier it waits for one.
    ///
    /// # Errors
    ///
    /// Returns [`StreamRefusal`] as `connect(2)` failed at the agent.
    pub async fn open(&self, to: SocketAddr) -> Result<Stream, StreamRefusal> {
        let (id, limit) = {
            let mut core = self.shared.core();
            let id = core.open(to, now()).ok_or(StreamRefusal::Exhausted)?;
            (id, core.limits().open)
        };
        // From here on, dropping the future resets the stream.
        let stream = Stream::new(self.shared.core.clone(), id);
        let answer = std::future::poll_fn(|cx| match self.shared.core().opening(id, cx.waker()) {
            Some(outcome) => Poll::Ready(outcome),
            None => Poll::Pending,
        });
        tokio::time::timeout(limit, answer)
            .await
            .unwrap_or(Err(StreamRefusal::TimedOut))?;
        Ok(stream)
    }

    /// Sends a whole DNS message to the cluster's DNS, and returns the answer.
    ///
    /// # Errors
    ///
    /// Returns [`AskError`] when there is no answer.
    pub async fn ask(&self, message: Bytes) -> Result<Bytes, AskError> {
        let (sender, receiver) = oneshot::channel();
        let id = {
            let mut questions = self.shared.questions();
            questions.next = questions.next.wrapping_add(1);
            let id = questions.next;
            questions.waiting.insert(id, sender);
            id
        };
        let _asking = Asking {
            shared: &self.shared,
            id,
        };
        let limit = {
            let mut core = self.shared.core();
            core.send_message(Frame::Ask { id, message });
            core.limits().ask
        };
        match tokio::time::timeout(limit, receiver).await {
            Ok(outcome) => outcome.unwrap_or(Err(AskError::NoTunnel)),
            Err(_) => Err(AskError::TimedOut),
        }
    }

    /// Sends a datagram to `to`. Replies arrive as [`PacketReply::Datagram`]. May be lost.
    pub fn send_datagram(&self, flow: u32, to: SocketAddr, payload: Bytes) {
        self.shared
            .core()
            .send_loose(Frame::Datagram { flow, to, payload });
    }

    /// Sends a received datagram to a flow of the client. May be lost.
    pub fn deliver(&self, flow: u32, payload: Bytes) {
        self.shared.core().send_loose(Frame::Delivery { flow, payload });
    }

    /// Reports to the client that a datagram of a flow could not be delivered. May be lost.
    pub fn undeliverable(&self, flow: u32, refusal: StreamRefusal) {
        self.shared
            .core()
            .send_loose(Frame::Undeliverable { flow, refusal });
    }

    /// Sends an echo request. Its answer arrives as [`PacketReply::Echo`]. May be lost.
    pub fn echo(&self, id: u32, to: IpAddr, payload: Bytes) {
        self.shared.core().send_loose(Frame::Echo { id, to, payload });
    }

    /// Sends the answer to an echo request to the client. May be lost.
    pub fn echoed(&self, id: u32, payload: Bytes) {
        self.shared.core().send_loose(Frame::Echoed { id, payload });
    }

    /// Sends a farewell to the peer. The caller keeps carriers open for a moment after it.
    pub fn say_goodbye(&self, farewell: Farewell) {
        self.shared.core().send_message(Frame::Goodbye { farewell });
    }

    /// Resets every stream at this end only, because the peer that held the other ends is gone.
    pub fn fail_streams(&self, cause: ResetCause) {
        self.shared.core().fail_all(cause);
        self.shared.questions().waiting.clear();
    }

    /// Returns the current measurements.
    pub fn stats(&self) -> Stats {
        let mut core = self.shared.core();
        let (sent, received) = core.volume();
        Stats {
            rtt: core.rtt(),
            sent,
            received,
            streams: core.stream_count(),
            full: core.full(),
            carriers: core.carrier_count(),
            dropped_datagrams: core.dropped_datagrams(),
        }
    }
}

impl Shared {
    pub(crate) fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock()
    }

    fn questions(&self) -> MutexGuard<'_, Questions> {
        self.questions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count_carriers(&self) {
        let count = self.core().carrier_count();
        self.carriers
            .send_if_modified(|before| std::mem::replace(before, count) != count);
    }

    fn dispatch(&self, event: Event) {
        match event {
            Event::Incoming { stream: id, to } => {
                let stream = Stream::new(self.core.clone(), id);
                let request = OpenRequest {
                    to,
                    stream,
                    core: self.core.clone(),
                    id,
                };
                if let Err(Request::Open(request)) = self.ask_agent(Request::Open(request)) {
                    request.refuse(StreamRefusal::Exhausted);
                }
            }
            Event::Asked { id, message } => {
                let asked = Asked {
                    message,
                    id,
                    core: self.core.clone(),
                };
                if let Err(Request::Ask(asked)) = self.ask_agent(Request::Ask(asked)) {
                    asked.answer(Err(AskError::TimedOut));
                }
            }
            Event::Datagram { flow, to, payload } => {
                // Datagrams may be lost.
                let _ = self.ask_agent(Request::Datagram { flow, to, payload });
            }
            Event::Echo { id, to, payload } => {
                // Echo requests may be lost.
                let _ = self.ask_agent(Request::Echo(Echo { to, payload, id }));
            }
            Event::Answered { id, outcome } => {
                if let Some(asker) = self.questions().waiting.remove(&id) {
                    // The caller may have stopped waiting.
                    let _ = asker.send(outcome);
                }
            }
            Event::Delivery { flow, payload } => {
                self.return_packet(PacketReply::Datagram { flow, payload });
            }
            Event::Undeliverable { flow, refusal } => {
                self.return_packet(PacketReply::Undeliverable { flow, refusal });
            }
            Event::Echoed { id, payload } => self.return_packet(PacketReply::Echo { id, payload }),
            Event::Goodbye(farewell) => {
                match &self.upward {
                    // A full queue contains a farewell already.
                    Upward::Client { farewells, .. } => drop(farewells.try_send(farewell)),
                    Upward::Agent(requests) => drop(requests.try_send(Request::Goodbye(farewell))),
                }
            }
        }
    }

    fn ask_agent(&self, request: Request) -> Result<(), Request> {
        match &self.upward {
            Upward::Agent(sender) => sender
                .try_send(request)
                .map_err(mpsc::error::TrySendError::into_inner),
            Upward::Client { .. } => Ok(()),
        }
    }

    fn return_packet(&self, reply: PacketReply) {
        if let Upward::Client { packets, .. } = &self.upward {
            // Replies may be lost, as any datagram.
            drop(packets.try_send(reply));
        }
    }
}

/// Guard that removes the carrier when its future ends or is dropped.
struct Attached<'a> {
    shared: &'a Shared,
    id: CarrierId,
}

impl Drop for Attached<'_> {
    fn drop(&mut self) {
        self.shared.core().lose(self.id);
        self.shared.count_carriers();
    }
}

/// Guard that removes a question when its caller stops waiting.
struct Asking<'a> {
    shared: &'a Shared,
    id: u32,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.shared.questions().waiting.remove(&self.id);
    }
}
