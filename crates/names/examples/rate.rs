//! How many questions a second one core answers from memory. Build with `--release`.
#![allow(clippy::print_stdout, reason = "the figure is the purpose")]

use std::net::IpAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use slipway_names::{Admission, AskError, Asks, NamedBy, Resolver, Scope, Transport, channel};

/// A cluster where each name has one address.
struct Cluster;

impl Asks for Cluster {
    async fn cluster(&self, query: Bytes) -> Result<Bytes, AskError> {
        let mut answer = query.to_vec();
        answer[2] |= 0x80;
        answer[7] = 1;
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4, 10, 96, 0, 7]);
        Ok(answer.into())
    }
    async fn laptop(&self, _query: Bytes) -> Result<Bytes, AskError> {
        Err(AskError::NoServer)
    }
    async fn admit(&self, addresses: &[IpAddr], _named_by: NamedBy) -> Vec<Admission> {
        vec![Admission::HandOut; addresses.len()]
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let scope = Scope::new("cluster.local".parse()?, "shop".parse()?);
    let (observer, mut events) = channel(64);
    let resolver = Resolver::new(scope, Cluster, observer);
    let query = *b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03web\x04shop\x03svc\x07cluster\x05local\0\0\x01\0\x01";
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    let mut answer = Vec::new();
    let (start, mut answered) = (Instant::now(), 0_u64);
    while start.elapsed() < Duration::from_secs(3) {
        for _ in 0..10_000 {
            if resolver.try_answer(&query, &mut answer) {
                answered += 1;
            } else {
                runtime.block_on(resolver.answer(Bytes::copy_from_slice(&query), Transport::Udp));
            }
            while events.try_recv().is_ok() {}
        }
    }
    println!(
        "{:.0} answers a second",
        answered as f64 / start.elapsed().as_secs_f64()
    );
    Ok(())
}
