//! Table of all limits of the tunnel.

use std::time::Duration;

/// Number of carriers that a session keeps open: one for conversations and one for bulk data, which do not delay each
/// other.
pub const CARRIERS: usize = 2;

/// Limits of sizes and times. Both ends use [`Limits::default`]; tests use smaller ones.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Number of bytes that may be sent on a stream before the first `Credit` frame.
    pub first_credit: u32,
    /// Largest credit of a stream, in bytes.
    pub most_credit: u64,
    /// Number of bytes received but not read, over all streams, above which credits stop growing.
    pub receive_budget: u64,
    /// Number of bytes of each stream that a program may write before they are sent.
    pub send_buffer: usize,
    /// Number of streams at one time, the same at both ends, so that the session knows when it has as many as it can. In
    /// the agent's pod each takes about 4 KiB of 128 MiB.
    pub streams: usize,
    /// Number of datagrams and echo frames that wait to be sent; when there are more, the oldest is dropped.
    pub datagrams: usize,
    /// Smallest window of a carrier in bytes, whatever its measured rate.
    pub least_in_flight: u64,
    /// Largest window of a carrier in bytes.
    pub most_in_flight: u64,
    /// Number of bytes after which their arrival is acknowledged at once; at most half of the window. Each
    /// acknowledgement wakes every hop of the path, so fewer of them leave the hops more time for data.
    pub ack_every: u64,
    /// Silence after which a carrier is pinged.
    pub ping_after: Duration,
    /// Silence after which a carrier counts as dead.
    pub dead_after: Duration,
    /// Silence after which a suspected carrier counts as dead.
    pub dead_after_suspicion: Duration,
    /// Limit of the proof at the start of a carrier.
    pub proof: Duration,
    /// Limit of the far end's answer to `Open`.
    pub open: Duration,
    /// Limit of an answer of the cluster's DNS.
    pub ask: Duration,
}

/// Part of a process's descriptors that is not for streams: one in this many. Carriers, listeners, name servers and
/// control sockets have it, and with it a session reconnects while it carries as many streams as it can.
const NOT_FOR_STREAMS: u64 = 4;

impl Limits {
    /// Returns these limits, with no more streams than a process with this many descriptors can carry.
    #[must_use]
    pub fn within(self, descriptors: u64) -> Limits {
        let most = descriptors - descriptors / NOT_FOR_STREAMS;
        Limits {
            streams: self.streams.min(usize::try_from(most).unwrap_or(usize::MAX)),
            ..self
        }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            first_credit: 256 * 1024,
            most_credit: 16 * 1024 * 1024,
            receive_budget: 48 * 1024 * 1024,
            send_buffer: 256 * 1024,
            streams: 12 * 1024,
            datagrams: 1024,
            least_in_flight: 2 * 1024 * 1024,
            most_in_flight: 32 * 1024 * 1024,
            ack_every: 1024 * 1024,
            ping_after: Duration::from_secs(3),
            dead_after: Duration::from_secs(9),
            dead_after_suspicion: Duration::from_secs(1),
            proof: Duration::from_secs(10),
            open: Duration::from_secs(130),
            ask: Duration::from_secs(5),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_leave_descriptors_for_the_rest() {
        for (descriptors, streams) in [
            (1024, 768),
            (64, 48),
            (16 * 1024, 12 * 1024),
            (0, 0),
            (524_288, 12 * 1024),
            (u64::MAX, 12 * 1024),
        ] {
            assert_eq!(
                Limits::default().within(descriptors).streams,
                streams,
                "{descriptors}"
            );
        }
    }
}
