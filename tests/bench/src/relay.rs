//! Relay that delays every byte, in both directions.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;

use crate::CHUNK;

/// Number of pieces in the queue of one direction; with pieces of 64 KiB, more than any delay here needs.
const UNDER_WAY: usize = 4096;

#[derive(Debug, Args)]
pub(crate) struct Relay {
    #[arg(long)]
    listen: SocketAddr,
    #[arg(long)]
    to: SocketAddr,
    /// Delay of each byte in one direction
    #[arg(long)]
    delay_ms: u64,
}

/// Bytes with the time at which they are due; no bytes are the end.
type Piece = (Instant, Vec<u8>);

impl Relay {
    pub(crate) fn run(&self) -> Result<()> {
        let listener = TcpListener::bind(self.listen).context("listen")?;
        for near in listener.incoming() {
            let near = near?;
            let far = TcpStream::connect(self.to).context("pass on")?;
            for (from, to) in [(near.try_clone()?, far.try_clone()?), (far, near)] {
                to.set_nodelay(true)?;
                let (sender, receiver) = sync_channel(UNDER_WAY);
                let delay = Duration::from_millis(self.delay_ms);
                thread::spawn(move || take(from, &sender, delay));
                thread::spawn(move || give(to, &receiver));
            }
        }
        Ok(())
    }
}

fn take(mut from: TcpStream, pieces: &SyncSender<Piece>, delay: Duration) {
    let mut chunk = vec![0; CHUNK];
    loop {
        // An error ends the other direction too, so that its reader does not wait.
        let read = from.read(&mut chunk).unwrap_or(0);
        let piece = chunk.get(..read).unwrap_or_default().to_vec();
        if pieces.send((Instant::now() + delay, piece)).is_err() || read == 0 {
            return;
        }
    }
}

fn give(mut to: TcpStream, pieces: &Receiver<Piece>) {
    for (due, piece) in pieces {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if piece.is_empty() || to.write_all(&piece).is_err() {
            break;
        }
    }
    // An error means that it is closed.
    let _ = to.shutdown(Shutdown::Write);
}
