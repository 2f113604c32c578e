//! Many connections that are open at the same time, until the reader of the output closes this program's input.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context, Result};
use clap::Args;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde::Serialize;

use crate::connect;

#[derive(Debug, Args)]
pub(crate) struct Hold {
    /// Address of an echo port
    #[arg(long)]
    to: SocketAddr,
    #[arg(long)]
    count: usize,
}

/// Printed when all connections are open, and each has carried a byte there and back.
#[derive(Debug, Serialize)]
struct Held {
    open: usize,
}

/// Printed at the end.
#[derive(Debug, Serialize)]
pub(crate) struct Kept {
    /// Number of connections that carried another byte at the end.
    open: usize,
}

impl Hold {
    pub(crate) fn run(&self) -> Result<Kept> {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).context("raise the limit of open files")?;
        let mut streams = Vec::with_capacity(self.count);
        for number in 0..self.count {
            let open = || {
                let mut stream = connect(self.to)?;
                converse(&mut stream)?;
                Ok::<_, anyhow::Error>(stream)
            };
            streams.push(open().with_context(|| format!("open connection {number}"))?);
        }
        crate::say(&Held { open: streams.len() })?;
        std::io::stdin().read_to_end(&mut Vec::new())?;
        let kept = streams.iter_mut().filter_map(|stream| converse(stream).ok());
        Ok(Kept { open: kept.count() })
    }
}

/// Sends a byte and receives it back.
fn converse(stream: &mut TcpStream) -> Result<()> {
    stream.write_all(b"x")?;
    stream.read_exact(&mut [0]).context("the byte comes back")
}
