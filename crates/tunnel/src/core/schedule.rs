//! Choice of the frames to send next on a carrier, and of the writer to wake.

use std::time::Instant;

use super::{Core, Opening, StreamId, wake, wake_writer, wire_length};
use crate::carrier::{CarrierId, CarrierState};
use crate::frame::{Frame, MAX_DATA};

/// Number of bytes in one batch of a writer: enough to fill a carrier, and few enough that urgent frames follow soon.
const BATCH: u64 = 128 * 1024;

/// Number of frames in one batch of a writer: as many as one vectored write takes, with head and payload each.
pub(super) const BATCH_FRAMES: usize = 256;

/// Number of bytes of one stream in one turn while other streams wait.
const QUANTUM: usize = 16 * 1024;

/// Number of bytes of datagrams in one batch, so that a flood of them does not delay connections.
const LOOSE_BATCH: u64 = 32 * 1024;

/// Number of bytes that conversations may send beyond the window of a carrier that is full of bulk data.
const CONVERSATION_SLACK: u64 = 64 * 1024;

/// Queue in which a stream waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    Conversations,
    Bulk,
}

impl Core {
    /// Fills `frames` with the next batch for a carrier, and returns its length in bytes on the wire.
    ///
    /// With nothing to send it marks the carrier idle; the next frame wakes its writer.
    pub(crate) fn next_batch(&mut self, id: CarrierId, now: Instant, frames: &mut Vec<Frame>) -> u64 {
        // With two carriers, the first one carries no bulk data.
        let express = self.carriers.len() > 1 && self.carriers.keys().next() == Some(&id);
        let mut bytes = 0;
        let mut loose = 0;
        let mut leaves = false;
        while bytes < BATCH && frames.len() < BATCH_FRAMES {
            leaves = self.leaves_to_the_first(id, now);
            let Some(carrier) = self.carriers.get_mut(&id) else {
                break;
            };
            let room = carrier.room(&self.limits, 0);
            let talk = !leaves && carrier.room(&self.limits, CONVERSATION_SLACK) > 0;
            let may_loose = !leaves && loose < LOOSE_BATCH;
            let frame = if let Some(frame) = carrier.own_frame(now, &self.limits, false) {
                frame
            } else if let Some(frame) = (!leaves).then(|| self.urgent.pop_front()).flatten() {
                frame
            } else if let Some(frame) = may_loose.then(|| self.loose.pop_front()).flatten() {
                loose += wire_length(&frame);
                frame
            } else if let Some(frame) = (room > 0).then(|| self.again.pop_front()).flatten() {
                frame
            } else if let Some(frame) = talk.then(|| self.next_of(Lane::Conversations)).flatten() {
                frame
            } else if let Some(frame) = (room > 0 && !express).then(|| self.next_of(Lane::Bulk)).flatten() {
                frame
            } else {
                break;
            };
            bytes += self.note(id, now, &frame);
            frames.push(frame);
        }
        // A stream whose first bytes went as a conversation continues as bulk data, which another writer must take.
        if express && !self.bulk.is_empty() {
            self.wake_idle_writer(Lane::Bulk);
        }
        let is_left = !self.urgent.is_empty() || !self.loose.is_empty() || !self.conversations.is_empty();
        if leaves
            && is_left
            && let Some(first) = self.carriers.values_mut().next()
        {
            wake_writer(first);
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

    /// Returns whether a carrier leaves conversations and control frames to the first one, because it moves bulk data.
    fn leaves_to_the_first(&self, id: CarrierId, now: Instant) -> bool {
        let Some((first, express)) = self.carriers.first_key_value() else {
            return false;
        };
        let takes =
            *first != id && !express.is_doubted() && express.room(&self.limits, CONVERSATION_SLACK) > 0;
        takes && (!self.bulk.is_empty() || self.carriers.get(&id).is_some_and(|carrier| carrier.is_busy(now)))
    }

    pub(super) fn note(&mut self, id: CarrierId, now: Instant, frame: &Frame) -> u64 {
        let length = wire_length(frame);
        if let Frame::Data { payload, .. } = frame {
            self.sent += payload.len() as u64;
        }
        if let Some(carrier) = self.carriers.get_mut(&id) {
            carrier.note_sent(now, length, is_worth_keeping(frame).then(|| frame.clone()));
        }
        length
    }

    /// Takes the next frame of the stream whose turn it is.
    pub(super) fn next_of(&mut self, lane: Lane) -> Option<Frame> {
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

    /// Appends a stream that has something to send to its lane.
    pub(super) fn schedule(&mut self, id: StreamId) {
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

    /// Wakes one idle writer: the first carrier's for urgent frames, the last one's for bulk data.
    pub(super) fn wake_idle_writer(&mut self, lane: Lane) {
        let idle = |carrier: &&mut CarrierState| carrier.idle;
        let chosen = match lane {
            Lane::Conversations => self.carriers.values_mut().find(idle),
            Lane::Bulk => self.carriers.values_mut().rev().find(idle),
        };
        if let Some(carrier) = chosen {
            wake_writer(carrier);
        }
    }

    pub(super) fn wake_all_writers(&mut self) {
        self.carriers.values_mut().for_each(wake_writer);
    }

    pub(super) fn send_urgent(&mut self, frame: Frame) {
        self.urgent.push_back(frame);
        self.wake_idle_writer(Lane::Conversations);
    }

    pub(super) fn schedule_and_wake(&mut self, id: StreamId) {
        let waiting = self.bulk.len();
        self.schedule(id);
        self.wake_idle_writer(if self.bulk.len() > waiting {
            Lane::Bulk
        } else {
            Lane::Conversations
        });
    }
}

/// Returns whether a frame is sent again when its carrier is lost. Frames about one carrier, and those that may be lost,
/// are not.
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
