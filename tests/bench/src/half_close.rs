//! Check whether an answer arrives complete that comes after our FIN.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr};

use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::{CHUNK, connect};

#[derive(Debug, Args)]
pub(crate) struct HalfClose {
    /// Address of a port that answers with the SHA-256 of all received bytes after the FIN
    #[arg(long)]
    to: SocketAddr,
}

#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    whole: bool,
}

impl HalfClose {
    pub(crate) fn run(&self) -> Result<Answer> {
        let mut stream = connect(self.to).context("connect")?;
        let sent: Vec<u8> = (0..CHUNK * 8)
            .map(|place| u8::try_from(place % 251).unwrap_or(0))
            .collect();
        stream.write_all(&sent)?;
        stream.shutdown(Shutdown::Write)?;
        let mut answer = String::new();
        let expected: String = Sha256::digest(&sent)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let whole = stream.read_to_string(&mut answer).is_ok() && answer.trim() == expected;
        Ok(Answer { whole })
    }
}
