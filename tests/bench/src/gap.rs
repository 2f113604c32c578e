//! Longest silence of a conversation that never pauses.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::Serialize;

use crate::connect;

/// How long a conversation may be silent before it counts as lost.
const PATIENCE: Duration = Duration::from_secs(60);

/// Pause between two messages.
const PAUSE: Duration = Duration::from_millis(2);

#[derive(Debug, Args)]
pub(crate) struct Gap {
    /// Address of an echo port
    #[arg(long)]
    to: SocketAddr,
    #[arg(long)]
    seconds: f64,
}

/// Printed when the first message came back, before the measurement begins.
#[derive(Debug, Serialize)]
struct Begun {
    talking: bool,
}

#[derive(Debug, Serialize)]
pub(crate) struct Silence {
    /// The longest time between a message and its echo, in milliseconds.
    longest_ms: f64,
    /// The end of that silence, in milliseconds since 1970.
    over_at_ms: u128,
    words: u64,
}

impl Gap {
    pub(crate) fn run(&self) -> Result<Silence> {
        let mut stream = connect(self.to).context("connect")?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        converse(&mut stream, 0)?;
        crate::say(&Begun { talking: true })?;
        let begun = Instant::now();
        let mut silence = Silence {
            longest_ms: 0.0,
            over_at_ms: 0,
            words: 0,
        };
        while begun.elapsed().as_secs_f64() < self.seconds {
            silence.words += 1;
            let asked = Instant::now();
            converse(&mut stream, silence.words)?;
            let took = crate::milliseconds(asked.elapsed());
            if took > silence.longest_ms {
                silence.longest_ms = took;
                silence.over_at_ms = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
            }
            thread::sleep(PAUSE);
        }
        Ok(silence)
    }
}

fn converse(stream: &mut TcpStream, word: u64) -> Result<()> {
    let (said, mut heard) = (word.to_be_bytes(), [0; 8]);
    stream.write_all(&said).context("send a message")?;
    stream.read_exact(&mut heard).context("receive its echo")?;
    ensure!(said == heard, "another message came back");
    Ok(())
}
