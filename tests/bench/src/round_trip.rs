//! Round trip of a byte over an open connection.
//!
//! Over a raw carrier this is the shortest time of the path through the API server. Connecting takes two of these round
//! trips: the first one tells whether the far end accepts.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::Args;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::raw::Carrier;
use crate::{CHUNK, Latency, PATIENCE, WARM_UP, connect, milliseconds};

/// Number of round trips before the measured ones.
const FIRST: usize = 50;

/// The far end's echo port.
const ECHO: u16 = 7000;

#[derive(Debug, Args)]
pub(crate) struct RoundTrip {
    /// Address of an echo port
    #[arg(long)]
    to: SocketAddr,
    /// Meanwhile, read from a connection to this port, which sends without end, as fast as possible
    #[arg(long, value_name = "TO")]
    beside: Option<SocketAddr>,
    #[arg(long, default_value_t = 1000)]
    count: usize,
}

impl RoundTrip {
    pub(crate) fn run(&self) -> Result<Latency> {
        let mut stream = connect(self.to).context("connect")?;
        let mut trips = || {
            Latency::of_each(FIRST, self.count, || {
                stream.write_all(b"x")?;
                stream.read_exact(&mut [0]).context("the byte comes back")
            })
        };
        let Some(beside) = self.beside else { return trips() };
        let pouring = connect(beside).context("connect the one beside")?;
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let download = scope.spawn(|| download(pouring, &over));
            thread::sleep(WARM_UP);
            let latency = trips();
            over.store(true, Ordering::Relaxed);
            download.join().ok().context("the download panicked")??;
            latency
        })
    }
}

fn download(mut from: TcpStream, over: &AtomicBool) -> Result<()> {
    let mut chunk = vec![0; CHUNK];
    while !over.load(Ordering::Relaxed) {
        ensure!(
            from.read(&mut chunk).context("read")? > 0,
            "the far end stopped pouring"
        );
    }
    Ok(())
}

/// Reads the kubeconfig that kubectl would read.
#[derive(Debug, Args)]
pub(crate) struct RawRoundTrip {
    #[command(flatten)]
    carrier: Carrier,
    #[arg(long, default_value_t = 1000)]
    count: usize,
}

impl RawRoundTrip {
    pub(crate) fn run(&self) -> Result<Latency> {
        crate::raw::runtime()?.block_on(self.measure())
    }

    async fn measure(&self) -> Result<Latency> {
        let mut pipe = self.carrier.open(ECHO).await?;
        let mut taken = Vec::with_capacity(self.count);
        for trip in 0..FIRST + self.count {
            let begun = Instant::now();
            let there_and_back = async {
                pipe.write_all(b"x").await?;
                pipe.flush().await?;
                let mut back = [0];
                pipe.read_exact(&mut back).await
            };
            timeout(PATIENCE, there_and_back)
                .await
                .context("the carrier stands still")??;
            if trip >= FIRST {
                taken.push(milliseconds(begun.elapsed()));
            }
        }
        Ok(Latency::of(taken))
    }
}
