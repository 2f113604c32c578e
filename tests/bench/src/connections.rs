//! New connections: duration of one, and number per second.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;

use crate::{Latency, connect};

/// Number of connections before the measured ones.
const FIRST: usize = 20;

#[derive(Debug, Args)]
pub(crate) struct Connect {
    /// Address of an echo port
    #[arg(long)]
    to: SocketAddr,
    #[arg(long, default_value_t = 500)]
    count: usize,
}

impl Connect {
    pub(crate) fn run(&self) -> Result<Latency> {
        Latency::of_each(FIRST, self.count, || converse(self.to))
    }
}

#[derive(Debug, Args)]
pub(crate) struct Burst {
    /// Address of an echo port
    #[arg(long)]
    to: SocketAddr,
    #[arg(long, default_value_t = 2000)]
    count: usize,
    #[arg(long, default_value_t = 32)]
    parallel: usize,
}

#[derive(Debug, Serialize)]
pub(crate) struct Rate {
    per_second: f64,
    failed: usize,
}

impl Burst {
    pub(crate) fn run(&self) -> Result<Rate> {
        let (next, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let begun = Instant::now();
        thread::scope(|scope| {
            for _ in 0..self.parallel {
                scope.spawn(|| {
                    while next.fetch_add(1, Ordering::Relaxed) < self.count {
                        if converse(self.to).is_err() {
                            failed.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let per_second = self.count as f64 / begun.elapsed().as_secs_f64();
        Ok(Rate {
            per_second,
            failed: failed.into_inner(),
        })
    }
}

/// Connects, sends a byte and receives it back.
fn converse(to: SocketAddr) -> Result<()> {
    let mut stream = connect(to).context("connect")?;
    stream.write_all(b"x")?;
    let mut back = [0];
    stream.read_exact(&mut back).context("the byte comes back")?;
    Ok(())
}
