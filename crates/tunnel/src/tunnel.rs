//! The asynchronous shell around the core: carriers below, streams and questions above.

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
use crate::core::{Core, Event, Role};
use crate::frame::{AskError, Farewell, Frame, FrameError, ResetCause, StreamRefusal};
use crate::limits::Limits;
use crate::reply::{FromAgent, PacketReply};
use crate::request::{Asked, Echo, Incoming, OpenRequest, Request};
use crate::shared_core::{SharedCore, now};
use crate::stream::Stream;

/// Requests of the client, and replies to its packets, that wait to be taken.
const WAITING: usize = 4096;

/// Farewells that wait to be taken. One says it all; each run of the agent sends one.
const FAREWELLS: usize = 8;

/// One end of a tunnel; clones are the same tunnel.
#[derive(Clone, Debug)]
pub struct Tunnel {
    shared: Arc<Shared>,
}

/// What the carriers, streams and handles of one tunnel share.
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

/// Why a carrier came to its end.
#[derive(Debug, thiserror::Error)]
pub enum CarrierEnd {
    /// The peer closed it.
    #[error("the carrier was closed")]
    Closed,
    /// Reading or writing failed.
    #[error("the carrier broke")]
    Broken(#[from] io::Error),
    /// Nothing came for too long, not even an answer to a ping.
    #[error("nothing comes over the carrier any more")]
    Silent,
    /// What came is not the tunnel's protocol.
    #[error("the carrier brought bytes that are not the tunnel's")]
    Garbled(#[from] FrameError),
    /// The peer sent what its role does not allow.
    #[error("the peer broke the tunnel's protocol")]
    Breach,
}

/// Figures of a tunnel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// The shortest round trip of late.
    pub rtt: Option<Duration>,
    /// Bytes of streams sent.
    pub sent: u64,
    /// Bytes of streams received.
    pub received: u64,
    /// Streams that stand or are being opened.
    pub streams: usize,
    /// Carriers that live.
    pub carriers: usize,
    /// Datagrams dropped because too many waited.
    pub dropped_datagrams: u64,
}

impl Tunnel {
    /// The laptop's end, and what the agent sends without being asked.
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

    /// The agent's end, and what the client asks of it.
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

    /// Uses a carrier, whose proof is done, until its end. What was under way on it then goes over another one.
    ///
    /// Dropping the future gives the carrier up.
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

    /// Says that carriers may be dead, as after a change of the network: one that gives no sign of life within a moment is
    /// given up. One that was alive is missed by nobody, for nothing on it is lost.
    pub fn suspect_carriers(&self) {
        self.shared.core().suspect_all(now());
    }

    /// How many carriers live, as it changes. One that owes a sign of life does not count until it gives one.
    pub fn carriers(&self) -> watch::Receiver<usize> {
        self.shared.carriers.subscribe()
    }

    /// Asks the agent for a TCP connection and waits until it stands. While there is no carrier it waits for one.
    ///
    /// # Errors
    ///
    /// [`StreamRefusal`], as `connect(2)` would have failed at the agent.
    pub async fn open(&self, to: SocketAddr) -> Result<Stream, StreamRefusal> {
        let (id, limit) = {
            let mut core = self.shared.core();
            (core.open(to).ok_or(StreamRefusal::Exhausted)?, core.limits().open)
        };
        // From here on dropping the future resets the stream.
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

    /// Asks the cluster's DNS, with a whole message.
    ///
    /// # Errors
    ///
    /// [`AskError`] when there is no answer.
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

    /// Sends a datagram to `to`; what comes back arrives as [`PacketReply::Datagram`]. May be lost.
    pub fn send_datagram(&self, flow: u32, to: SocketAddr, payload: Bytes) {
        self.shared
            .core()
            .send_loose(Frame::Datagram { flow, to, payload });
    }

    /// Gives a datagram back to a flow of the client. May be lost.
    pub fn deliver(&self, flow: u32, payload: Bytes) {
        self.shared.core().send_loose(Frame::Delivery { flow, payload });
    }

    /// Tells the client that the far end of a flow does not listen. May be lost.
    pub fn undeliverable(&self, flow: u32, refusal: StreamRefusal) {
        self.shared
            .core()
            .send_loose(Frame::Undeliverable { flow, refusal });
    }

    /// Sends an echo request; its answer arrives as [`PacketReply::Echo`]. May be lost.
    pub fn echo(&self, id: u32, to: IpAddr, payload: Bytes) {
        self.shared.core().send_loose(Frame::Echo { id, to, payload });
    }

    /// Answers an echo request of the client. May be lost.
    pub fn echoed(&self, id: u32, payload: Bytes) {
        self.shared.core().send_loose(Frame::Echoed { id, payload });
    }

    /// Tells the peer that this end leaves; the caller lets carriers live for a moment after it.
    pub fn say_goodbye(&self, farewell: Farewell) {
        self.shared.core().send_message(Frame::Goodbye { farewell });
    }

    /// Resets every stream, here only: the peer that held their other ends is gone.
    pub fn fail_streams(&self, cause: ResetCause) {
        self.shared.core().fail_all(cause);
        self.shared.questions().waiting.clear();
    }

    /// Figures of this moment.
    pub fn stats(&self) -> Stats {
        let core = self.shared.core();
        let (sent, received) = core.volume();
        Stats {
            rtt: core.rtt(),
            sent,
            received,
            streams: core.stream_count(),
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
                let _may_be_lost = self.ask_agent(Request::Datagram { flow, to, payload });
            }
            Event::Echo { id, to, payload } => {
                let _may_be_lost = self.ask_agent(Request::Echo(Echo { to, payload, id }));
            }
            Event::Answered { id, outcome } => {
                if let Some(asker) = self.questions().waiting.remove(&id) {
                    let _gave_up = asker.send(outcome);
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
                    // A queue that is full holds a farewell already.
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
            // One that does not fit is lost, as any datagram may be.
            drop(packets.try_send(reply));
        }
    }
}

/// Gives the carrier up when its future ends or is dropped.
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

/// Forgets a question when its asker does.
struct Asking<'a> {
    shared: &'a Shared,
    id: u32,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.shared.questions().waiting.remove(&self.id);
    }
}
