//! Operations of the shell on streams.

use std::task::Waker;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::schedule::Lane;
use super::{Core, Full, Opening, StreamState};
use crate::frame::{Frame, ResetCause, StreamId, StreamRefusal};

/// Shortest round trip that counts. A shorter one depends on how busy the hops are, not on the path.
const SHORTEST_TRIP: Duration = Duration::from_millis(8);

impl Core {
    /// Begins a stream to `to`. Returns `None` when there are too many.
    pub(crate) fn open(&mut self, to: std::net::SocketAddr, now: Instant) -> Option<StreamId> {
        let most = self.limits.streams;
        if self.streams.len() >= most {
            self.capacity.refuse(Full::Here { most }, self.streams.len(), now);
            return None;
        }
        if self.next_stream == u32::MAX {
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

    /// Returns the answer to [`Core::open`]. While there is none, keeps the waker and returns `None`.
    pub(crate) fn opening(&mut self, id: StreamId, waker: &Waker) -> Option<Result<(), StreamRefusal>> {
        let Some(stream) = self.streams.get_mut(&id) else {
            return Some(Err(StreamRefusal::TunnelEnded));
        };
        match stream.opening {
            Opening::Open => Some(Ok(())),
            Opening::Refused(refusal) => Some(Err(refusal)),
            Opening::Pending if stream.reset.is_some() => Some(Err(StreamRefusal::TunnelEnded)),
            Opening::Pending => {
                stream.receive.waker = Some(waker.clone());
                None
            }
        }
    }

    /// Reports to the client that its stream is open.
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
            self.schedule_and_wake(id);
        }
    }

    /// Reports to the client that its stream was refused.
    pub(crate) fn refuse(&mut self, id: StreamId, refusal: StreamRefusal) {
        if let Some(stream) = self.streams.remove(&id)
            && stream.reset.is_none()
        {
            self.send_urgent(Frame::Refused { stream: id, refusal });
        }
    }

    /// Returns whether the client gave up a stream before it was answered.
    pub(crate) fn is_reset(&mut self, id: StreamId, waker: &Waker) -> bool {
        let Some(stream) = self.streams.get_mut(&id) else {
            return true;
        };
        stream.receive.waker = Some(waker.clone());
        stream.reset.is_some()
    }

    /// Returns the next bytes in order, or `Ok(None)` at the end. While there are none, keeps the waker and returns `None`.
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

    /// Returns how many bytes may be written. While there is no room, keeps the waker and returns `None`.
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

    /// Writes bytes. They may exceed the room by the size of one read.
    pub(crate) fn write(&mut self, id: StreamId, bytes: Bytes) -> Result<(), ResetCause> {
        let stream = self.streams.get_mut(&id).ok_or(ResetCause::Cancelled)?;
        if let Some(cause) = stream.reset {
            return Err(cause);
        }
        if !stream.send.write(bytes) {
            return Err(ResetCause::Cancelled);
        }
        self.schedule_and_wake(id);
        Ok(())
    }

    /// Ends the stream in the direction of the peer.
    pub(crate) fn finish(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        stream.send.finish();
        self.schedule_and_wake(id);
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

    /// Handles the drop of a stream's handle: a finished stream is sent to its end, any other is reset.
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

    /// Resets all streams at this end only, because their other ends are gone.
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

    /// Sends a frame that may be lost. When too many wait, the oldest one is dropped.
    pub(crate) fn send_loose(&mut self, frame: Frame) {
        if self.loose.len() >= self.limits.datagrams {
            self.loose.pop_front();
            self.dropped_datagrams += 1;
        }
        self.loose.push_back(frame);
        self.wake_idle_writer(Lane::Conversations);
    }

    pub(super) fn remove_if_over(&mut self, id: StreamId) {
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
