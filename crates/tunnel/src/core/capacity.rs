//! Capacity for streams: which end refused one because it has as many as it can, and whether that still holds. It has no
//! clock: the caller passes the time.

use std::time::{Duration, Instant};

/// Part of the streams that must have ended before there is room again: one in this many. With less, a program that
/// replaces each connection that ends would change the answer every moment.
const FREED: usize = 16;

/// Time without a refusal after which a stream that opens shows that the agent has room again. The agent may have lacked
/// descriptors for something other than this tunnel's streams.
const SINCE_REFUSAL: Duration = Duration::from_secs(10);

/// End of the tunnel that has no room for another stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// This one, which has as many streams as its limits allow.
    Here {
        /// Largest number of streams.
        most: usize,
    },
    /// The agent.
    Agent,
}

/// Record of the last refusal for lack of room.
#[derive(Debug, Default)]
pub(crate) struct Capacity {
    refused: Option<Refused>,
}

#[derive(Debug)]
struct Refused {
    by: Full,
    /// Number of streams at that moment.
    streams: usize,
    at: Instant,
}

impl Capacity {
    /// Notes that a stream was refused while there were `streams`.
    pub(crate) fn refuse(&mut self, by: Full, streams: usize, at: Instant) {
        self.refused = Some(Refused { by, streams, at });
    }

    /// Notes that the agent opened a stream.
    pub(crate) fn opened(&mut self, at: Instant) {
        let has_room = |refused: &Refused| {
            refused.by == Full::Agent && at.saturating_duration_since(refused.at) >= SINCE_REFUSAL
        };
        self.refused.take_if(|refused| has_room(refused));
    }

    /// Returns the end without room, now that there are `streams`.
    pub(crate) fn full(&mut self, streams: usize) -> Option<Full> {
        let has_room = |refused: &Refused| streams < refused.streams - refused.streams / FREED;
        self.refused.take_if(|refused| has_room(refused));
        self.refused.as_ref().map(|refused| refused.by)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_end_has_room_after_some_streams_ended() {
        let mut capacity = Capacity::default();
        assert_eq!(capacity.full(1600), None);
        for by in [Full::Here { most: 1600 }, Full::Agent] {
            capacity.refuse(by, 1600, Instant::now());
            assert_eq!(capacity.full(1600), Some(by));
            assert_eq!(
                capacity.full(1500),
                Some(by),
                "one that ended may be replaced at once"
            );
            assert_eq!(capacity.full(1499), None);
            assert_eq!(capacity.full(1600), None);
        }
    }

    #[test]
    fn an_agent_that_opens_streams_for_a_while_has_room() {
        let (mut capacity, begun) = (Capacity::default(), Instant::now());
        capacity.refuse(Full::Agent, 5, begun);
        capacity.opened(begun + SINCE_REFUSAL / 2);
        assert_eq!(capacity.full(5), Some(Full::Agent));
        capacity.opened(begun + SINCE_REFUSAL);
        assert_eq!(capacity.full(5), None);
        capacity.refuse(Full::Here { most: 5 }, 5, begun);
        capacity.opened(begun + SINCE_REFUSAL);
        assert_eq!(
            capacity.full(5),
            Some(Full::Here { most: 5 }),
            "its own limit is known"
        );
    }
}
