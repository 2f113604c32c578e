//! Benchmark of questions per second on one core: from the cache, by the laptop, and by the cluster under another name.
//! Build it with `--release`.
#![allow(clippy::print_stdout, reason = "it prints its results")]

use std::net::IpAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use slipway_names::{Addressee, Admission, AskError, Asks, NamedBy, Resolver, Scope, Transport, channel};

/// Duration of each measurement.
const MEASURED_FOR: Duration = Duration::from_secs(3);

/// Cluster where each name has one address, and laptop where each name is an alias with two.
struct World;

/// Record with an address for the name in the question.
const ADDRESS: &[u8] = &[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4, 10, 96, 0, 7];

/// Records with `CNAME edge.cdn.example.net` and two addresses of that name, which begins at byte 45 of the answer.
const ALIAS: &[u8] = b"\xc0\x0c\0\x05\0\x01\0\0\x01\x2c\0\x16\x04edge\x03cdn\x07example\x03net\0\
    \xc0\x2d\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x01\xc0\x2d\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x02";

fn reply(query: &[u8], count: u8, records: &[u8]) -> Bytes {
    let mut answer = [query, records].concat();
    answer[2] |= 0x80;
    answer[7] = count;
    answer.into()
}

impl Asks for World {
    async fn cluster(&self, query: Bytes) -> Result<Bytes, AskError> {
        Ok(reply(&query, 1, ADDRESS))
    }
    async fn laptop(&self, query: Bytes, _addressee: Addressee) -> Result<Bytes, AskError> {
        Ok(reply(&query, 3, ALIAS))
    }
    async fn admit(&self, addresses: &[IpAddr], _named_by: NamedBy) -> Vec<Admission> {
        vec![Admission::HandOut; addresses.len()]
    }
}

/// Calls `once` for [`MEASURED_FOR`] and prints how often it ran in a second.
fn measure(what: &str, mut once: impl FnMut(u64)) {
    let (start, mut done) = (Instant::now(), 0);
    while start.elapsed() < MEASURED_FOR {
        for _ in 0..1000 {
            once(done);
            done += 1;
        }
    }
    println!(
        "{:>9.0} a second {what}",
        done as f64 / start.elapsed().as_secs_f64()
    );
}

fn query(name: &[u8]) -> Vec<u8> {
    [b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0", name, b"\0\x01\0\x01"].concat()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let scope = Scope::new("cluster.local".parse()?, "shop".parse()?);
    let (observer, mut events) = channel(64);
    let resolver = Resolver::new(scope, World, observer);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    let mut drain = || {
        while let Ok(event) = events.try_recv() {
            assert!(event.outcome.exists(), "{event:?}");
        }
    };

    let full = query(b"\x03web\x04shop\x03svc\x07cluster\x05local\0");
    let mut answer = Vec::new();
    measure("from the cache", |_| {
        if !resolver.try_answer(&full, &mut answer) {
            runtime.block_on(resolver.answer(full.clone().into(), Transport::Udp));
        }
        drain();
    });

    let public: Bytes = query(b"\x03www\x07example\x03org\0").into();
    measure("by the laptop", |_| {
        runtime.block_on(resolver.answer(public.clone(), Transport::Udp));
        drain();
    });

    let mut short = query(b"\x0812345678\x04shop\x03svc\0");
    measure("by the cluster, each under another name", |number| {
        short[13..21].copy_from_slice(format!("{:08}", number % 100_000_000).as_bytes());
        runtime.block_on(resolver.answer(short.clone().into(), Transport::Udp));
        drain();
    });
    Ok(())
}
