//! One carrier without a tunnel: the limit of the path through the API server.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use serde::Serialize;
use slipway_api_server::kubeconfig::{Choice, Sources, choose};
use slipway_carrier::{CarrierKind, Endpoint, Pipe, open};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout_at;

use crate::{CHUNK, Direction, PATIENCE, WARM_UP};

/// The far end's port that counts received bytes, and the one that sends without end.
const COUNT: u16 = 7001;
const POUR: u16 = 7002;

/// Reads the kubeconfig that kubectl would read.
#[derive(Debug, Args)]
pub(crate) struct Raw {
    #[command(flatten)]
    carrier: Carrier,
    #[arg(long)]
    direction: Direction,
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
}

/// Pod and kind of a carrier.
#[derive(Debug, Args)]
pub(crate) struct Carrier {
    #[arg(long)]
    namespace: String,
    #[arg(long)]
    pod: String,
    #[arg(long, default_value = "spdy")]
    kind: Framing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Framing {
    Spdy,
    WebSocket,
}

#[derive(Debug, Serialize)]
pub(crate) struct Rate {
    /// Megabytes a second.
    sum: f64,
}

impl Carrier {
    pub(crate) async fn open(&self, port: u16) -> Result<Pipe> {
        let client = choose(&Sources::from_environment(None), &Choice::default())?
            .client()
            .await?;
        let endpoint = Endpoint::new(&self.namespace, &self.pod, port)?;
        let kind = match self.kind {
            Framing::Spdy => CarrierKind::Spdy,
            Framing::WebSocket => CarrierKind::WebSocket,
        };
        Ok(open(&client, &endpoint, kind).await?)
    }
}

pub(crate) fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

impl Raw {
    pub(crate) fn run(&self) -> Result<Rate> {
        runtime()?.block_on(self.measure())
    }

    async fn measure(&self) -> Result<Rate> {
        let port = match self.direction {
            Direction::Down => POUR,
            Direction::Up => COUNT,
        };
        let mut pipe = self.carrier.open(port).await?;
        self.move_for(&mut pipe, WARM_UP).await?;
        let begun = Instant::now();
        let moved = self
            .move_for(&mut pipe, Duration::from_secs_f64(self.seconds))
            .await?;
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let sum = moved as f64 / 1e6 / begun.elapsed().as_secs_f64();
        Ok(Rate { sum })
    }

    async fn move_for(&self, pipe: &mut Pipe, span: Duration) -> Result<usize> {
        let over = Instant::now() + span;
        let mut chunk = vec![7; CHUNK];
        let mut moved = 0;
        while Instant::now() < over {
            let step = async {
                match self.direction {
                    Direction::Down => pipe.read(&mut chunk).await,
                    Direction::Up => pipe.write(&chunk).await,
                }
            };
            let deadline = tokio::time::Instant::now() + PATIENCE;
            let step = timeout_at(deadline, step)
                .await
                .context("the carrier stands still")??;
            ensure!(step > 0, "the carrier ended");
            moved += step;
        }
        if moved == 0 {
            bail!("nothing moved");
        }
        Ok(moved)
    }
}
