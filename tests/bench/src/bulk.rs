//! Throughput of one or more connections.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::Serialize;

use crate::{CHUNK, Direction, WARM_UP, connect};

#[derive(Debug, Args)]
pub(crate) struct Bulk {
    /// Address of a port that sends without end, or of one that counts and answers
    #[arg(long)]
    to: SocketAddr,
    #[arg(long)]
    direction: Direction,
    #[arg(long, default_value_t = 1)]
    flows: usize,
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Number of additional connections to the sending port that are not read
    #[arg(long, default_value_t = 0)]
    stalled: usize,
}

#[derive(Debug, Serialize)]
pub(crate) struct Rates {
    /// Megabytes a second of each connection.
    each: Vec<f64>,
    /// Their sum.
    sum: f64,
}

impl Bulk {
    pub(crate) fn run(&self) -> Result<Rates> {
        let stalled = self.stall()?;
        let streams: Vec<TcpStream> = (0..self.flows)
            .map(|_| connect(self.to))
            .collect::<std::io::Result<_>>()
            .context("connect")?;
        let moved: Vec<AtomicU64> = streams.iter().map(|_| AtomicU64::new(0)).collect();
        let over = AtomicBool::new(false);
        let rates = thread::scope(|scope| {
            let flows: Vec<_> = streams
                .into_iter()
                .zip(&moved)
                .map(|(stream, moved)| {
                    let over = &over;
                    scope.spawn(move || match self.direction {
                        Direction::Down => receive(stream, moved, over),
                        Direction::Up => send(stream, moved, over),
                    })
                })
                .collect();
            thread::sleep(WARM_UP);
            let (begun, before) = (Instant::now(), counts(&moved));
            thread::sleep(Duration::from_secs_f64(self.seconds));
            let (span, after) = (begun.elapsed(), counts(&moved));
            over.store(true, Ordering::Relaxed);
            for flow in flows {
                flow.join().ok().context("a flow panicked")??;
            }
            Ok::<_, anyhow::Error>(rates(&before, &after, span))
        })?;
        drop(stalled);
        Ok(rates)
    }

    /// Opens connections whose far end sends until all buffers are full.
    fn stall(&self) -> Result<Vec<TcpStream>> {
        let streams = (0..self.stalled)
            .map(|_| {
                let mut stream = connect(self.to).context("connect the one that stalls")?;
                stream.read_exact(&mut [0]).context("the far end pours")?;
                Ok(stream)
            })
            .collect();
        if self.stalled > 0 {
            thread::sleep(Duration::from_secs(1));
        }
        streams
    }
}

fn counts(moved: &[AtomicU64]) -> Vec<u64> {
    moved.iter().map(|moved| moved.load(Ordering::Relaxed)).collect()
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn rates(before: &[u64], after: &[u64], span: Duration) -> Rates {
    let each: Vec<f64> = before
        .iter()
        .zip(after)
        .map(|(before, after)| (after - before) as f64 / 1e6 / span.as_secs_f64())
        .collect();
    Rates {
        sum: each.iter().sum(),
        each,
    }
}

fn receive(mut stream: TcpStream, moved: &AtomicU64, over: &AtomicBool) -> Result<()> {
    let mut chunk = vec![0; CHUNK];
    while !over.load(Ordering::Relaxed) {
        let read = stream.read(&mut chunk).context("read")?;
        ensure!(read > 0, "the far end stopped pouring");
        moved.fetch_add(read as u64, Ordering::Relaxed);
    }
    Ok(())
}

fn send(mut stream: TcpStream, moved: &AtomicU64, over: &AtomicBool) -> Result<()> {
    let chunk = vec![7; CHUNK];
    let mut sent = 0;
    while !over.load(Ordering::Relaxed) {
        let written = stream.write(&chunk).context("write")?;
        sent += written as u64;
        moved.fetch_add(written as u64, Ordering::Relaxed);
    }
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    match stream.read_to_string(&mut answer) {
        // Some transports close both directions after our FIN; `half-close` measures what that loses.
        Ok(0) | Err(_) => Ok(()),
        Ok(_) => {
            let counted: u64 = answer.trim().parse().context("the far end counts")?;
            ensure!(counted == sent, "{sent} bytes were sent and {counted} came");
            Ok(())
        }
    }
}
