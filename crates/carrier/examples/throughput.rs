//! Throughput of carriers in bytes a second: `throughput NAMESPACE POD [SECONDS]`.
//!
//! The pod must count the bytes that it receives on port 7001 and send bytes on port 7002, as the test bed's echo pod
//! does. The program reads the same kubeconfig as kubectl, and prints one line for each client, kind and direction.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use kube::Config;
use slipway_api_server::kubeconfig::{Choice, Sources, choose};
use slipway_carrier::{CarrierKind, Endpoint, open};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

const COUNT: u16 = 7001;
const POUR: u16 = 7002;
const CHUNK: usize = 256 * 1024;

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let namespace = arguments.next().context("which namespace?")?;
    let pod = arguments.next().context("which pod?")?;
    let seconds = arguments
        .next()
        .map_or(Ok(3.0), |seconds| seconds.parse())
        .context("how many seconds?")?;
    let duration = Duration::from_secs_f64(seconds);

    let target = choose(&Sources::from_environment(None), &Choice::default())?;
    let clients = [
        ("slipway", target.client().await?),
        ("kube", kube::Client::try_from(Config::infer().await?)?),
    ];
    for (name, client) in &clients {
        for kind in [CarrierKind::Spdy, CarrierKind::WebSocket] {
            let up = Endpoint::new(&namespace, &pod, COUNT)?;
            show(name, kind, "up", upload(client, &up, kind, duration).await?);
            let down = Endpoint::new(&namespace, &pod, POUR)?;
            show(name, kind, "down", download(client, &down, kind, duration).await?);
        }
    }
    Ok(())
}

struct Run {
    bytes: usize,
    took: Duration,
    opened_in: Duration,
    cpu: Duration,
}

/// Counts the bytes that the carrier accepted. Those in socket buffers at the end are a few percent.
async fn upload(
    client: &kube::Client,
    endpoint: &Endpoint,
    kind: CarrierKind,
    duration: Duration,
) -> Result<Run> {
    let begun = Instant::now();
    let mut pipe = open(client, endpoint, kind).await?;
    let opened_in = begun.elapsed();
    let chunk = vec![0; CHUNK];
    let (begun, cpu, mut bytes) = (Instant::now(), cpu_time(), 0);
    let failed = timeout(duration, async {
        loop {
            match pipe.write(&chunk).await {
                Ok(written) => bytes += written,
                Err(error) => break error,
            }
        }
    });
    if let Ok(error) = failed.await {
        return Err(error).context("upload");
    }
    Ok(Run {
        bytes,
        took: begun.elapsed(),
        opened_in,
        cpu: cpu_time() - cpu,
    })
}

async fn download(
    client: &kube::Client,
    endpoint: &Endpoint,
    kind: CarrierKind,
    duration: Duration,
) -> Result<Run> {
    let begun = Instant::now();
    let mut pipe = open(client, endpoint, kind).await?;
    let opened_in = begun.elapsed();
    let mut chunk = vec![0; CHUNK];
    let (begun, cpu, mut bytes) = (Instant::now(), cpu_time(), 0);
    while begun.elapsed() < duration {
        let read = timeout(duration, pipe.read(&mut chunk))
            .await
            .context("the pod sent nothing")??;
        anyhow::ensure!(read > 0, "the pod stopped sending");
        bytes += read;
    }
    Ok(Run {
        bytes,
        took: begun.elapsed(),
        opened_in,
        cpu: cpu_time() - cpu,
    })
}

/// Returns the processor time of this process, user and system: fields 14 and 15 of proc(5)'s stat, in hundredths of a
/// second.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks: u64 = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<u64>().ok())
        .sum();
    Duration::from_millis(ticks * 10)
}

#[expect(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "figures for a person"
)]
fn show(client: &str, kind: CarrierKind, direction: &str, run: Run) {
    let megabytes = run.bytes as f64 / 1e6;
    println!(
        "{client:<8} {:<10} {direction:<5} {:>7.1} MB/s  {:>5.2} client CPU s/GB  opened in {:>4} ms",
        format!("{kind:?}"),
        megabytes / run.took.as_secs_f64(),
        run.cpu.as_secs_f64() / megabytes * 1e3,
        run.opened_in.as_millis(),
    );
}
