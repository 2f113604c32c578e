//! Answers of a name server: number per second, and duration of each.

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::Serialize;

use crate::{milliseconds, quantile};

/// Silence after which the open questions count as lost.
const LOST_AFTER: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
pub(crate) struct Dns {
    #[arg(long)]
    server: SocketAddr,
    /// A full name, without a final dot
    #[arg(long)]
    name: String,
    /// Ask each time for another name, one label below this one, so that no cache has the answer
    #[arg(long)]
    unique: bool,
    /// Questions in flight
    #[arg(long, default_value_t = 32)]
    parallel: usize,
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Answers {
    per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    lost: usize,
}

impl Dns {
    pub(crate) fn run(&self) -> Result<Answers> {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.connect(self.server)?;
        socket.set_read_timeout(Some(LOST_AFTER))?;
        let mut asker = Asker {
            socket,
            name: &self.name,
            // Another run must not find this run's answers in a cache.
            unique: self.unique.then(std::process::id),
            asked: 0,
            waiting: HashMap::new(),
        };
        let begun = Instant::now();
        let over = begun + Duration::from_secs_f64(self.seconds);
        let (mut taken, mut lost) = (Vec::new(), 0);
        for _ in 0..self.parallel {
            asker.ask()?;
        }
        while Instant::now() < over {
            match asker.hear()? {
                Some(took) => {
                    taken.push(milliseconds(took));
                    asker.ask()?;
                }
                None => {
                    lost += asker.waiting.len();
                    asker.waiting.clear();
                    for _ in 0..self.parallel {
                        asker.ask()?;
                    }
                }
            }
        }
        ensure!(!taken.is_empty(), "{} does not answer", self.server);
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let per_second = taken.len() as f64 / begun.elapsed().as_secs_f64();
        taken.sort_by(f64::total_cmp);
        Ok(Answers {
            per_second,
            p50_ms: quantile(&taken, 0.5),
            p99_ms: quantile(&taken, 0.99),
            lost,
        })
    }
}

struct Asker<'a> {
    socket: UdpSocket,
    name: &'a str,
    unique: Option<u32>,
    asked: u32,
    waiting: HashMap<u16, Instant>,
}

impl Asker<'_> {
    fn ask(&mut self) -> Result<()> {
        self.asked = self.asked.wrapping_add(1);
        let id = u16::try_from(self.asked & 0xffff).unwrap_or(0);
        let first = self.unique.map(|run| format!("n{run}-{}", self.asked));
        let labels = first.iter().map(String::as_str).chain(self.name.split('.'));
        self.socket.send(&question(id, labels)?).context("ask")?;
        self.waiting.insert(id, Instant::now());
        Ok(())
    }

    /// Returns how long the next answer took; `None` if no more answers come.
    fn hear(&mut self) -> Result<Option<Duration>> {
        let mut answer = [0; 1500];
        loop {
            let length = match self.socket.recv(&mut answer) {
                Ok(length) => length,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error).context("hear"),
            };
            ensure!(length >= 12, "an answer of {length} bytes");
            // NXDOMAIN is an answer too.
            ensure!([0, 3].contains(&(answer[3] & 15)), "the name server failed");
            let id = u16::from_be_bytes([answer[0], answer[1]]);
            if let Some(asked) = self.waiting.remove(&id) {
                return Ok(Some(asked.elapsed()));
            }
        }
    }
}

/// Builds a message with one question for an address, recursion desired (RFC 1035 section 4).
fn question<'a>(id: u16, labels: impl Iterator<Item = &'a str>) -> Result<Vec<u8>> {
    let mut message = Vec::with_capacity(64);
    message.extend(id.to_be_bytes());
    message.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in labels {
        let length = u8::try_from(label.len())
            .ok()
            .filter(|length| (1..64).contains(length));
        message.push(length.with_context(|| format!("{label:?} is not a valid label"))?);
        message.extend(label.as_bytes());
    }
    message.extend([0, 0, 1, 0, 1]);
    Ok(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_has_the_form_of_rfc_1035() {
        let message = question(0x1234, ["web", "shop"].into_iter()).unwrap();
        assert_eq!(
            message,
            b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03web\x04shop\x00\x00\x01\x00\x01"
        );
        assert!(question(1, ["web", ""].into_iter()).is_err());
    }
}
