//! Every decision of the tunnel, without I/O or clock.
//!
//! The shell tells it what came over a carrier, what programs read and wrote, and what time it is; it says which
//! frames go next on which carrier. Frames that matter are kept until the peer acknowledged the bytes they took;
//! when a carrier is lost they go out again over another one, and the receiver, by offsets and stream names,
//! takes each byte once.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;

use crate::carrier::{CarrierId, CarrierState, Life};
use crate::frame::{AskError, Farewell, Frame, HEAD, MAX_DATA, Refusal, ResetCause, StreamId};
use crate::ids::Seen;
use crate::limits::Limits;
use crate::receive::ReceiveHalf;
use crate::send::SendHalf;

/// Bytes that a writer takes at one time: enough to fill a carrier, little enough to be overtaken soon.
const BATCH: u64 = 128 * 1024;

/// Frames that a writer takes at one time: what one vectored write takes, head and payload each.
const BATCH_FRAMES: usize = 256;

/// Bytes of one stream at one time while others wait.
const QUANTUM: usize = 16 * 1024;

/// Bytes of datagrams in one batch, so that a flood of them does not hold connections up.
const LOOSE_BATCH: u64 = 32 * 1024;

/// What conversations may send beyond the room of a carrier that is full of bulk data.
const CONVERSATION_SLACK: u64 = 64 * 1024;

/// Under this, round trips are a matter of the scheduler and not of the path.
const SHORTEST_TRIP: Duration = Duration::from_millis(2);

/// The most stream names that may come ahead of their turn.
const MOST_EARLY_NAMES: usize = 64 * 1024;

/// Which end of the tunnel this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Client,
    Agent,
}

/// What the shell has to act on.
#[derive(Debug)]
pub(crate) enum Event {
    Incoming {
        stream: StreamId,
        to: std::net::SocketAddr,
    },
    Asked {
        id: u32,
        message: Bytes,
    },
    Answered {
        id: u32,
        outcome: Result<Bytes, AskError>,
    },
    Datagram {
        flow: u32,
        to: std::net::SocketAddr,
        payload: Bytes,
    },
    Delivery {
        flow: u32,
        payload: Bytes,
    },
    Undeliverable {
        flow: u32,
        refusal: Refusal,
    },
    Echo {
        id: u32,
        to: std::net::IpAddr,
        payload: Bytes,
    },
    Echoed {
        id: u32,
        payload: Bytes,
    },
    Goodbye(Farewell),
}

/// The peer sent what its role does not allow.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Breach;

#[derive(Debug)]
struct StreamState {
    send: SendHalf,
    receive: ReceiveHalf,
    opening: Opening,
    reset: Option<ResetCause>,
    /// The handle is gone; what was written is still to go out.
    detached: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opening {
    /// The answer to `Open` is awaited, at the client or by the agent's shell.
    Pending,
    Open,
    Refused(Refusal),
}

#[derive(Debug)]
pub(crate) struct Core {
    role: Role,
    limits: Limits,
    streams: HashMap<StreamId, StreamState>,
    next_stream: u32,
    seen: Seen,
    carriers: BTreeMap<CarrierId, CarrierState>,
    next_carrier: u32,
    urgent: VecDeque<Frame>,
    again: VecDeque<Frame>,
    loose: VecDeque<Frame>,
    conversations: VecDeque<StreamId>,
    bulk: VecDeque<StreamId>,
    held: u64,
    sent: u64,
    received: u64,
    dropped_datagrams: u64,
}

impl Core {
    pub(crate) fn new(role: Role, limits: Limits) -> Core {
        Core {
            role,
            limits,
            streams: HashMap::new(),
            next_stream: 1,
            seen: Seen::starting_at(StreamId(1)),
            carriers: BTreeMap::new(),
            next_carrier: 1,
            urgent: VecDeque::new(),
            again: VecDeque::new(),
            loose: VecDeque::new(),
            conversations: VecDeque::new(),
            bulk: VecDeque::new(),
            held: 0,
            sent: 0,
            received: 0,
            dropped_datagrams: 0,
        }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn stream_count(&self) -> usize {
        self.streams.len()
    }

    /// Carriers that live, as far as they were heard of late.
    pub(crate) fn carrier_count(&self) -> usize {
        let doubted = |carrier: &&CarrierState| carrier.is_doubted();
        self.carriers.len() - self.carriers.values().filter(doubted).count()
    }

    /// Stream bytes sent and received.
    pub(crate) fn volume(&self) -> (u64, u64) {
        (self.sent, self.received)
    }

    /// Datagrams that were dropped because too many waited.
    pub(crate) fn dropped_datagrams(&self) -> u64 {
        self.dropped_datagrams
    }

    /// The shortest round trip of any carrier.
    pub(crate) fn rtt(&self) -> Option<Duration> {
        self.carriers.values().filter_map(CarrierState::rtt).min()
    }

    // Carriers

    /// Adds a carrier whose proof is done.
    pub(crate) fn attach(&mut self, now: Instant) -> (CarrierId, Arc<Notify>) {
        let id = CarrierId(self.next_carrier);
        self.next_carrier += 1;
        let carrier = CarrierState::new(now);
        let wake = carrier.wake.clone();
        self.carriers.insert(id, carrier);
        (id, wake)
    }

    /// Removes a carrier; what it may have lost goes out again.
    pub(crate) fn lose(&mut self, id: CarrierId) {
        let Some(carrier) = self.carriers.remove(&id) else {
            return;
        };
        for frame in carrier.into_unacknowledged().rev() {
            let is_data = matches!(frame, Frame::Data { .. });
            let queue = if is_data {
                &mut self.again
            } else {
                &mut self.urgent
            };
            queue.push_front(frame);
        }
        self.rouse_all();
    }

    /// Whether a carrier lives; a silent one is asked.
    pub(crate) fn tick(&mut self, id: CarrierId, now: Instant) -> Life {
        let Some(carrier) = self.carriers.get_mut(&id) else {
            return Life::Dead;
        };
        let life = carrier.life(now, &self.limits);
        if life == Life::Ask {
            rouse(carrier);
        }
        life
    }

    /// Fills `frames` with what goes next on a carrier and returns their bytes on the wire.
    ///
    /// With nothing to send it marks the carrier idle, and whoever makes something to send rouses it.
    pub(crate) fn next_batch(&mut self, id: CarrierId, now: Instant, frames: &mut Vec<Frame>) -> u64 {
        // The first carrier is kept free of bulk data as long as there is another one for it.
        let express = self.carriers.len() > 1 && self.carriers.keys().next() == Some(&id);
        let mut bytes = 0;
        let mut loose = 0;
        while bytes < BATCH && frames.len() < BATCH_FRAMES {
            let Some(carrier) = self.carriers.get_mut(&id) else {
                break;
            };
            let room = carrier.room(&self.limits, 0);
            let talk = carrier.room(&self.limits, CONVERSATION_SLACK);
            let frame = if let Some(frame) = carrier.own_frame(now, &self.limits, false) {
                frame
            } else if let Some(frame) = self.urgent.pop_front() {
                frame
            } else if let Some(frame) = (loose < LOOSE_BATCH).then(|| self.loose.pop_front()).flatten() {
                loose += wire_length(&frame);
                frame
            } else if let Some(frame) = (room > 0).then(|| self.again.pop_front()).flatten() {
                frame
            } else if let Some(frame) = (talk > 0).then(|| self.next_of(Lane::Conversations)).flatten() {
                frame
            } else if let Some(frame) = (room > 0 && !express).then(|| self.next_of(Lane::Bulk)).flatten() {
                frame
            } else {
                break;
            };
            bytes += self.note(id, now, &frame);
            frames.push(frame);
        }
        let Some(carrier) = self.carriers.get_mut(&id) else {
            return bytes;
        };
        if let Some(ack) = carrier.own_frame(now, &self.limits, bytes > 0) {
            bytes += self.note(id, now, &ack);
            frames.push(ack);
        }
        if bytes == 0
            && let Some(carrier) = self.carriers.get_mut(&id)
        {
            carrier.idle = true;
        }
        bytes
    }

    fn note(&mut self, id: CarrierId, now: Instant, frame: &Frame) -> u64 {
        let length = wire_length(frame);
        if let Frame::Data { payload, .. } = frame {
            self.sent += payload.len() as u64;
        }
        if let Some(carrier) = self.carriers.get_mut(&id) {
            carrier.note_sent(now, length, is_worth_keeping(frame).then(|| frame.clone()));
        }
        length
    }

    /// The next frame of the stream whose turn it is.
    fn next_of(&mut self, lane: Lane) -> Option<Frame> {
        loop {
            let others = !self.conversations.is_empty() || self.bulk.len() > 1;
            let id = match lane {
                Lane::Conversations => self.conversations.pop_front()?,
                Lane::Bulk => self.bulk.pop_front()?,
            };
            let Some(stream) = self.streams.get_mut(&id) else {
                continue;
            };
            stream.send.scheduled = false;
            if stream.reset.is_some() || stream.opening != Opening::Open {
                continue;
            }
            let frame = match stream.send.take(if others { QUANTUM } else { MAX_DATA }) {
                Some((offset, payload)) => Some(Frame::Data {
                    stream: id,
                    offset,
                    payload,
                }),
                None => stream
                    .send
                    .take_fin()
                    .map(|offset| Frame::Fin { stream: id, offset }),
            };
            if stream.send.room(self.limits.send_buffer) > 0 {
                wake(&mut stream.send.waker);
            }
            self.schedule(id);
            self.remove_if_over(id);
            if frame.is_some() {
                return frame;
            }
        }
    }

    /// Puts a stream that has something to send at the end of its lane.
    fn schedule(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if stream.send.scheduled || stream.opening != Opening::Open || !stream.send.is_ready() {
            return;
        }
        stream.send.scheduled = true;
        if stream.send.is_conversation() {
            self.conversations.push_back(id);
        } else {
            self.bulk.push_back(id);
        }
    }

    /// Rouses one idle writer: the express carrier's for what is urgent, another one's for bulk data.
    fn rouse(&mut self, lane: Lane) {
        let idle = |carrier: &&mut CarrierState| carrier.idle;
        let chosen = match lane {
            Lane::Conversations => self.carriers.values_mut().find(idle),
            Lane::Bulk => self.carriers.values_mut().rev().find(idle),
        };
        if let Some(carrier) = chosen {
            rouse(carrier);
        }
    }

    fn rouse_all(&mut self) {
        self.carriers.values_mut().for_each(rouse);
    }

    fn send_urgent(&mut self, frame: Frame) {
        self.urgent.push_back(frame);
        self.rouse(Lane::Conversations);
    }

    // What comes over carriers

    /// Acts on a frame that came whole over a carrier.
    ///
    /// # Errors
    ///
    /// [`Breach`] where the peer's role does not allow it; the carrier is to be given up.
    pub(crate) fn receive(
        &mut self,
        id: CarrierId,
        frame: Frame,
        now: Instant,
        events: &mut Vec<Event>,
    ) -> Result<(), Breach> {
        let Some(carrier) = self.carriers.get_mut(&id) else {
            return Ok(());
        };
        carrier.note_received(now, wire_length(&frame));
        match frame {
            Frame::Ping { token } => carrier.ping(token),
            Frame::Pong { token } => carrier.pong(now, token),
            Frame::Ack { received } => {
                carrier.ack(now, received);
                rouse(carrier);
            }
            Frame::Open { stream, to, credit } => {
                self.only(Role::Agent)?;
                self.incoming(stream, to, credit, events)?;
            }
            Frame::Opened { stream, credit } => {
                self.only(Role::Client)?;
                self.opened(stream, credit);
            }
            Frame::Refused { stream, refusal } => {
                self.only(Role::Client)?;
                self.refused(stream, refusal);
            }
            Frame::Data {
                stream,
                offset,
                payload,
            } => self.data(stream, offset, payload),
            Frame::Credit { stream, limit } => self.credit(stream, limit),
            Frame::Fin { stream, offset } => self.fin(stream, offset),
            Frame::Reset { stream, cause } => self.peer_reset(stream, cause),
            Frame::Ask { id, message } => {
                self.only(Role::Agent)?;
                events.push(Event::Asked { id, message });
            }
            Frame::Answer { id, outcome } => {
                self.only(Role::Client)?;
                events.push(Event::Answered { id, outcome });
            }
            Frame::Datagram { flow, to, payload } => {
                self.only(Role::Agent)?;
                events.push(Event::Datagram { flow, to, payload });
            }
            Frame::Delivery { flow, payload } => {
                self.only(Role::Client)?;
                events.push(Event::Delivery { flow, payload });
            }
            Frame::Undeliverable { flow, refusal } => {
                self.only(Role::Client)?;
                events.push(Event::Undeliverable { flow, refusal });
            }
            Frame::Echo { id, to, payload } => {
                self.only(Role::Agent)?;
                events.push(Event::Echo { id, to, payload });
            }
            Frame::Echoed { id, payload } => {
                self.only(Role::Client)?;
                events.push(Event::Echoed { id, payload });
            }
            Frame::Goodbye { farewell } => events.push(Event::Goodbye(farewell)),
        }
        if let Some(carrier) = self.carriers.get_mut(&id)
            && carrier.wants_to_send(&self.limits)
        {
            rouse(carrier);
        }
        Ok(())
    }

    fn only(&self, role: Role) -> Result<(), Breach> {
        if self.role == role { Ok(()) } else { Err(Breach) }
    }

    fn incoming(
        &mut self,
        id: StreamId,
        to: std::net::SocketAddr,
        credit: u32,
        events: &mut Vec<Event>,
    ) -> Result<(), Breach> {
        if !self.seen.insert(id) {
            return Ok(());
        }
        if self.seen.early() > MOST_EARLY_NAMES {
            return Err(Breach);
        }
        if self.streams.len() >= self.limits.streams {
            self.send_urgent(Frame::Refused {
                stream: id,
                refusal: Refusal::Exhausted,
            });
            return Ok(());
        }
        let mut state = StreamState::new(&self.limits);
        state.send.credit(credit.into());
        self.streams.insert(id, state);
        events.push(Event::Incoming { stream: id, to });
        Ok(())
    }

    fn opened(&mut self, id: StreamId, credit: u32) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if stream.opening != Opening::Pending {
            return;
        }
        stream.opening = Opening::Open;
        stream.send.credit(credit.into());
        wake(&mut stream.receive.waker);
        self.schedule_and_rouse(id);
    }

    fn refused(&mut self, id: StreamId, refusal: Refusal) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if stream.opening == Opening::Pending {
            stream.opening = Opening::Refused(refusal);
            wake(&mut stream.receive.waker);
        }
    }

    fn data(&mut self, id: StreamId, offset: u64, payload: Bytes) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if stream.reset.is_some() || stream.detached {
            return;
        }
        match stream.receive.accept(offset, payload) {
            Ok(new) => {
                self.held += new;
                self.received += new;
                if stream.receive.is_readable() {
                    wake(&mut stream.receive.waker);
                }
            }
            Err(_) => self.reset(id, ResetCause::Reset),
        }
    }

    fn credit(&mut self, id: StreamId, limit: u64) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        stream.send.credit(limit);
        self.schedule_and_rouse(id);
    }

    fn fin(&mut self, id: StreamId, offset: u64) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if stream.reset.is_some() {
            return;
        }
        match stream.receive.finish(offset) {
            Ok(()) => {
                wake(&mut stream.receive.waker);
                self.remove_if_over(id);
            }
            Err(_) => self.reset(id, ResetCause::Reset),
        }
    }

    fn peer_reset(&mut self, id: StreamId, cause: ResetCause) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        stream.fail(cause);
        self.remove_if_over(id);
    }

    // What the shell does with streams

    /// Begins a stream to `to`; `None` when there are too many.
    pub(crate) fn open(&mut self, to: std::net::SocketAddr) -> Option<StreamId> {
        if self.streams.len() >= self.limits.streams || self.next_stream == u32::MAX {
            return None;
        }
        let id = StreamId(self.next_stream);
        self.next_stream += 1;
        self.streams.insert(id, StreamState::new(&self.limits));
        self.send_urgent(Frame::Open {
            stream: id,
            to,
            credit: self.limits.first_credit,
        });
        Some(id)
    }

    /// The answer to [`Core::open`], or `None` and a waker kept while there is none.
    pub(crate) fn opening(&mut self, id: StreamId, waker: &Waker) -> Option<Result<(), Refusal>> {
        let Some(stream) = self.streams.get_mut(&id) else {
            return Some(Err(Refusal::TunnelEnded));
        };
        match stream.opening {
            Opening::Open => Some(Ok(())),
            Opening::Refused(refusal) => Some(Err(refusal)),
            Opening::Pending if stream.reset.is_some() => Some(Err(Refusal::TunnelEnded)),
            Opening::Pending => {
                stream.receive.waker = Some(waker.clone());
                None
            }
        }
    }

    /// Tells the client that its stream stands.
    pub(crate) fn accept(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        stream.opening = Opening::Open;
        if stream.reset.is_none() {
            self.send_urgent(Frame::Opened {
                stream: id,
                credit: self.limits.first_credit,
            });
            self.schedule_and_rouse(id);
        }
    }

    /// Tells the client that its stream could not be made.
    pub(crate) fn refuse(&mut self, id: StreamId, refusal: Refusal) {
        if let Some(stream) = self.streams.remove(&id)
            && stream.reset.is_none()
        {
            self.send_urgent(Frame::Refused { stream: id, refusal });
        }
    }

    /// Whether the client gave a stream up that was not answered yet.
    pub(crate) fn is_reset(&mut self, id: StreamId, waker: &Waker) -> bool {
        let Some(stream) = self.streams.get_mut(&id) else {
            return true;
        };
        stream.receive.waker = Some(waker.clone());
        stream.reset.is_some()
    }

    /// The next bytes in order, `Ok(None)` at the end; `None` and a waker kept while there is nothing.
    pub(crate) fn read(
        &mut self,
        id: StreamId,
        now: Instant,
        waker: &Waker,
    ) -> Option<Result<Option<Bytes>, ResetCause>> {
        let rtt = self.rtt().unwrap_or_default().max(SHORTEST_TRIP);
        let Some(stream) = self.streams.get_mut(&id) else {
            return Some(Err(ResetCause::Cancelled));
        };
        if let Some(cause) = stream.reset {
            return Some(Err(cause));
        }
        let Some(bytes) = stream.receive.take() else {
            if stream.receive.is_done() {
                return Some(Ok(None));
            }
            stream.receive.waker = Some(waker.clone());
            return None;
        };
        self.held = self.held.saturating_sub(bytes.len() as u64);
        let full = self.held > self.limits.receive_budget;
        let most = if full {
            self.limits.first_credit.into()
        } else {
            self.limits.most_credit
        };
        if let Some(limit) = stream.receive.grant(now, rtt, most) {
            self.send_urgent(Frame::Credit { stream: id, limit });
        }
        Some(Ok(Some(bytes)))
    }

    /// How many bytes may be written; `None` and a waker kept while there is no room.
    pub(crate) fn room(&mut self, id: StreamId, waker: &Waker) -> Option<Result<usize, ResetCause>> {
        let Some(stream) = self.streams.get_mut(&id) else {
            return Some(Err(ResetCause::Cancelled));
        };
        if let Some(cause) = stream.reset {
            return Some(Err(cause));
        }
        let room = stream.send.room(self.limits.send_buffer);
        if room == 0 {
            stream.send.waker = Some(waker.clone());
            return None;
        }
        Some(Ok(room))
    }

    /// Writes bytes, which may be more than the room by what one read gives.
    pub(crate) fn write(&mut self, id: StreamId, bytes: Bytes) -> Result<(), ResetCause> {
        let stream = self.streams.get_mut(&id).ok_or(ResetCause::Cancelled)?;
        if let Some(cause) = stream.reset {
            return Err(cause);
        }
        if !stream.send.write(bytes) {
            return Err(ResetCause::Cancelled);
        }
        self.schedule_and_rouse(id);
        Ok(())
    }

    /// Says that no byte follows.
    pub(crate) fn finish(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        stream.send.finish();
        self.schedule_and_rouse(id);
    }

    /// Ends a stream in both directions, at both ends.
    pub(crate) fn reset(&mut self, id: StreamId, cause: ResetCause) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if stream.reset.is_some() {
            return;
        }
        let refused = matches!(stream.opening, Opening::Refused(_));
        stream.fail(cause);
        self.remove_if_over(id);
        if !refused {
            self.send_urgent(Frame::Reset { stream: id, cause });
        }
    }

    /// The handle of a stream is gone: what was finished goes on to its end, anything else is given up.
    pub(crate) fn detach(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        stream.detached = true;
        if stream.reset.is_none() && !(stream.receive.is_complete() && stream.is_finishing()) {
            self.reset(id, ResetCause::Cancelled);
        }
        self.remove_if_over(id);
    }

    /// Ends all streams, here only: their other ends are gone.
    pub(crate) fn fail_all(&mut self, cause: ResetCause) {
        for stream in self.streams.values_mut() {
            stream.fail(cause);
        }
        self.streams.retain(|_, stream| !stream.detached);
        self.held = 0;
        self.urgent.clear();
        self.again.clear();
        self.loose.clear();
    }

    pub(crate) fn send_message(&mut self, frame: Frame) {
        self.send_urgent(frame);
    }

    /// Sends a frame that may be lost; the oldest of them is, when too many wait.
    pub(crate) fn send_loose(&mut self, frame: Frame) {
        if self.loose.len() >= self.limits.datagrams {
            self.loose.pop_front();
            self.dropped_datagrams += 1;
        }
        self.loose.push_back(frame);
        self.rouse(Lane::Conversations);
    }

    fn schedule_and_rouse(&mut self, id: StreamId) {
        let waiting = self.bulk.len();
        self.schedule(id);
        self.rouse(if self.bulk.len() > waiting {
            Lane::Bulk
        } else {
            Lane::Conversations
        });
    }

    fn remove_if_over(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get(&id) else {
            return;
        };
        let over = stream.reset.is_some() || stream.send.is_done();
        if stream.detached && over {
            self.held = self.held.saturating_sub(stream.receive.held());
            self.streams.remove(&id);
        }
    }
}

impl StreamState {
    fn new(limits: &Limits) -> StreamState {
        StreamState {
            send: SendHalf::default(),
            receive: ReceiveHalf::new(limits.first_credit),
            opening: Opening::Pending,
            reset: None,
            detached: false,
        }
    }

    fn fail(&mut self, cause: ResetCause) {
        self.reset.get_or_insert(cause);
        wake(&mut self.send.waker);
        wake(&mut self.receive.waker);
    }

    fn is_finishing(&self) -> bool {
        self.send.is_finishing()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lane {
    Conversations,
    Bulk,
}

fn rouse(carrier: &mut CarrierState) {
    if std::mem::take(&mut carrier.idle) {
        carrier.wake.notify_one();
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

/// Frames about one carrier, and those that may be lost, are not sent again over another one.
fn is_worth_keeping(frame: &Frame) -> bool {
    match frame {
        Frame::Open { .. }
        | Frame::Opened { .. }
        | Frame::Refused { .. }
        | Frame::Data { .. }
        | Frame::Credit { .. }
        | Frame::Fin { .. }
        | Frame::Reset { .. }
        | Frame::Ask { .. }
        | Frame::Answer { .. } => true,
        Frame::Datagram { .. }
        | Frame::Delivery { .. }
        | Frame::Undeliverable { .. }
        | Frame::Echo { .. }
        | Frame::Echoed { .. }
        | Frame::Ping { .. }
        | Frame::Pong { .. }
        | Frame::Ack { .. }
        | Frame::Goodbye { .. } => false,
    }
}

fn wire_length(frame: &Frame) -> u64 {
    frame.wire_length() as u64
}

/// Writes the heads of frames one behind the other; returns where each ends.
pub(crate) fn encode_heads(frames: &[Frame], heads: &mut BytesMut, ends: &mut Vec<usize>) {
    heads.reserve(frames.len() * (HEAD + 24));
    for frame in frames {
        frame.encode_head(heads);
        ends.push(heads.len());
    }
}

#[cfg(test)]
#[path = "core_tests.rs"]
mod tests;
