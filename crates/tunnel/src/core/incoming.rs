//! Handling of frames that arrive over a carrier.

use std::time::Instant;

use bytes::Bytes;

use super::{Breach, Core, Event, Full, Opening, Role, StreamState, wake, wake_writer, wire_length};
use crate::carrier::CarrierId;
use crate::frame::{Frame, ResetCause, StreamId, StreamRefusal};

/// Largest number of stream numbers that may arrive early.
const MOST_EARLY_NAMES: usize = 64 * 1024;

impl Core {
    /// Handles a whole frame that arrived over a carrier.
    ///
    /// # Errors
    ///
    /// Returns [`Breach`] if the peer's role does not allow it; the caller gives up the carrier.
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
                wake_writer(carrier);
            }
            Frame::Open { stream, to, credit } => {
                self.only(Role::Agent)?;
                self.incoming(stream, to, credit, events);
            }
            Frame::Opened { stream, credit } => {
                self.only(Role::Client)?;
                self.opened(stream, credit, now);
            }
            Frame::Refused { stream, refusal } => {
                self.only(Role::Client)?;
                self.refused(stream, refusal, now);
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
            wake_writer(carrier);
        }
        Ok(())
    }

    pub(super) fn only(&self, role: Role) -> Result<(), Breach> {
        if self.role == role { Ok(()) } else { Err(Breach) }
    }

    pub(super) fn incoming(
        &mut self,
        id: StreamId,
        to: std::net::SocketAddr,
        credit: u32,
        events: &mut Vec<Event>,
    ) {
        if !self.seen.insert(id) {
            return;
        }
        self.seen.keep_at_most(MOST_EARLY_NAMES);
        if self.streams.len() >= self.limits.streams {
            self.send_urgent(Frame::Refused {
                stream: id,
                refusal: StreamRefusal::Exhausted,
            });
            return;
        }
        let mut state = StreamState::new(&self.limits);
        state.send.credit(credit.into());
        self.streams.insert(id, state);
        events.push(Event::Incoming { stream: id, to });
    }

    pub(super) fn opened(&mut self, id: StreamId, credit: u32, now: Instant) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if stream.opening != Opening::Pending {
            return;
        }
        stream.opening = Opening::Open;
        stream.send.credit(credit.into());
        wake(&mut stream.receive.waker);
        self.capacity.opened(now);
        self.schedule_and_wake(id);
    }

    pub(super) fn refused(&mut self, id: StreamId, refusal: StreamRefusal, now: Instant) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if stream.opening == Opening::Pending {
            stream.opening = Opening::Refused(refusal);
            wake(&mut stream.receive.waker);
            if refusal == StreamRefusal::Exhausted {
                // Without the refused one.
                self.capacity.refuse(Full::Agent, self.streams.len() - 1, now);
            }
        }
    }

    pub(super) fn data(&mut self, id: StreamId, offset: u64, payload: Bytes) {
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

    pub(super) fn credit(&mut self, id: StreamId, limit: u64) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        stream.send.credit(limit);
        self.schedule_and_wake(id);
    }

    pub(super) fn fin(&mut self, id: StreamId, offset: u64) {
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

    pub(super) fn peer_reset(&mut self, id: StreamId, cause: ResetCause) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        stream.fail(cause);
        self.remove_if_over(id);
    }
}
