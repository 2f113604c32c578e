//! Load generator: `slipway-load MEASURE ...` runs one measure, and prints its result as one JSON object.
//!
//! It runs on a laptop of the test bed or on its node, and does not know the transport of its bytes: `cargo xtask bench`
//! runs it over one transport after the other and compares. The far end is the bed's `echo` pod. Clients are threads
//! with blocking sockets, like most programs. Only the raw carrier, which is the limit of any tunnel over it, is
//! asynchronous.

mod bulk;
mod connections;
mod dns;
mod gap;
mod half_close;
mod hold;
mod raw;
mod relay;
mod round_trip;

use std::io::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand, ValueEnum};
use serde::Serialize;

/// Runs one measure and prints its result.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    measure: Measure,
}

#[derive(Debug, Subcommand)]
enum Measure {
    /// Throughput of one or more connections
    Bulk(bulk::Bulk),
    /// The same of one carrier without a tunnel
    Raw(raw::Raw),
    /// Milliseconds from connect() to the first byte received, one connection after the other
    Connect(connections::Connect),
    /// Round trip of a byte over an open connection, in milliseconds
    RoundTrip(round_trip::RoundTrip),
    /// The same of one carrier without a tunnel
    RawRoundTrip(round_trip::RawRoundTrip),
    /// New connections per second, several at the same time
    Burst(connections::Burst),
    /// Whether an answer arrives complete that comes after our FIN
    HalfClose(half_close::HalfClose),
    /// DNS answers per second, and the milliseconds that each took
    Dns(dns::Dns),
    /// The longest silence of a conversation
    Gap(gap::Gap),
    /// Many connections at the same time, until standard input ends
    Hold(hold::Hold),
    /// Relay connections with a delay, until it is ended
    Relay(relay::Relay),
}

/// Direction of bytes, seen from this program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Direction {
    /// To this program.
    Down,
    /// From this program.
    Up,
}

/// How long a load runs before the measurement, so that windows have grown.
const WARM_UP: Duration = Duration::from_millis(700);

/// How long one step of a client may take; longer is a failure of the transport.
const PATIENCE: Duration = Duration::from_secs(20);

/// Number of bytes per read or write.
const CHUNK: usize = 256 * 1024;

fn main() -> anyhow::Result<()> {
    match Arguments::parse().measure {
        Measure::Bulk(bulk) => say(&bulk.run()?),
        Measure::Raw(raw) => say(&raw.run()?),
        Measure::Connect(connect) => say(&connect.run()?),
        Measure::RoundTrip(trip) => say(&trip.run()?),
        Measure::RawRoundTrip(trip) => say(&trip.run()?),
        Measure::Burst(burst) => say(&burst.run()?),
        Measure::HalfClose(half_close) => say(&half_close.run()?),
        Measure::Dns(dns) => say(&dns.run()?),
        Measure::Gap(gap) => say(&gap.run()?),
        Measure::Hold(hold) => say(&hold.run()?),
        Measure::Relay(relay) => relay.run(),
    }
}

fn say(outcome: &impl Serialize) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, outcome)?;
    writeln!(out)?;
    Ok(())
}

fn connect(to: SocketAddr) -> std::io::Result<std::net::TcpStream> {
    let stream = std::net::TcpStream::connect_timeout(&to, PATIENCE)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Durations of a repeated operation.
#[derive(Debug, Serialize)]
struct Latency {
    p50_ms: f64,
    p95_ms: f64,
    p99_ms: f64,
}

impl Latency {
    /// Measures an operation `count` times, after `first` runs that do not count.
    fn of_each(
        first: usize,
        count: usize,
        mut act: impl FnMut() -> anyhow::Result<()>,
    ) -> anyhow::Result<Latency> {
        let mut taken = Vec::with_capacity(count);
        for attempt in 0..first + count {
            let begun = Instant::now();
            act()?;
            if attempt >= first {
                taken.push(milliseconds(begun.elapsed()));
            }
        }
        Ok(Latency::of(taken))
    }

    fn of(mut taken: Vec<f64>) -> Latency {
        taken.sort_by(f64::total_cmp);
        Latency {
            p50_ms: quantile(&taken, 0.5),
            p95_ms: quantile(&taken, 0.95),
            p99_ms: quantile(&taken, 0.99),
        }
    }
}

/// Returns the value below which `share` of the sorted values are.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index into a list of measurements"
    )]
    let place = (sorted.len().saturating_sub(1) as f64 * share).round() as usize;
    sorted.get(place).copied().unwrap_or(f64::NAN)
}

fn milliseconds(span: Duration) -> f64 {
    span.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_measured_values() {
        let sorted: Vec<f64> = (1..=100).map(f64::from).collect();
        assert!((quantile(&sorted, 0.5) - 51.0).abs() < 1.0);
        assert!((quantile(&sorted, 0.99) - 99.0).abs() < 1.0);
        assert!((quantile(&[7.0], 0.99) - 7.0).abs() < f64::EPSILON);
        assert!(quantile(&[], 0.5).is_nan());
    }
}
