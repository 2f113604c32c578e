//! Limits in time that both sides of this crate's traits rely on.

use std::time::Duration;

/// How long a program's `connect()` waits for [`FarEnd::open`](crate::FarEnd::open).
pub const OPEN_LIMIT: Duration = Duration::from_secs(60);
/// How long a program's query waits for [`DnsService::answer`](crate::DnsService::answer).
pub const ANSWER_LIMIT: Duration = Duration::from_secs(12);
/// How long a flow of datagrams is kept without a datagram in either direction. A flow to port 53: 5 s.
pub const DATAGRAM_IDLE: Duration = Duration::from_secs(120);
