//! Every bound of the tunnel in one table.

use std::time::Duration;

/// Carriers that a session keeps open: one for conversations, one for bulk data, and neither waits for the other.
pub const CARRIERS: usize = 2;

/// How large and how long things may get. [`Limits::default`] is what both ends use; tests take smaller ones.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes that may be sent on a stream before the first credit.
    pub first_credit: u32,
    /// The most that a stream's credit grows to, in bytes.
    pub most_credit: u64,
    /// Bytes received but not yet read, over all streams, above which credits stop growing.
    pub receive_budget: u64,
    /// Bytes that a program may write ahead of what was sent, for each stream.
    pub send_buffer: usize,
    /// Streams at one time.
    pub streams: usize,
    /// Datagrams and echo frames that wait to be sent; the oldest is dropped.
    pub datagrams: usize,
    /// Bytes that may be under way on one carrier at the least, whatever its measured rate.
    pub least_in_flight: u64,
    /// The most bytes under way on one carrier.
    pub most_in_flight: u64,
    /// Bytes received after which a carrier is told at once that they came; at most half of what may be under way.
    /// Each such word wakes every hop of the way: few of them leave the hops more time for data.
    pub ack_every: u64,
    /// How long a carrier may be silent before it is asked for a sign of life.
    pub ping_after: Duration,
    /// How long a carrier may be silent before it counts as dead.
    pub dead_after: Duration,
    /// The same of a carrier of which there is reason to think that it is dead.
    pub dead_after_suspicion: Duration,
    /// How long the proof at the start of a carrier may take.
    pub proof: Duration,
    /// How long the far end may take over a connection.
    pub open: Duration,
    /// How long an answer of the cluster's DNS may take.
    pub ask: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            first_credit: 256 * 1024,
            most_credit: 16 * 1024 * 1024,
            receive_budget: 48 * 1024 * 1024,
            send_buffer: 256 * 1024,
            streams: 16 * 1024,
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
