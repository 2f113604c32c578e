//! Placement of a replacement for the agent: measures each step, and watches Job and pod vanish after its end.
//!
//! ```text
//! cargo run -p slipway-cluster --example place -- --namespace shop --size 5000000 --lives 3
//! ```
//!
//! Without `--binary` the replacement is a shell script, padded to `--size` bytes, that ends after `--lives` seconds.

#![expect(clippy::print_stdout, reason = "the example prints its results")]

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Parser;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use slipway_api_server::kubeconfig::{Choice, Sources, choose};
use slipway_cluster::placement::{DEFAULT_IMAGE, Placement, Progress, place, watch_end};
use slipway_control_api::AgentEnd;
use slipway_key::Key;
use slipway_problem::Fault;
use slipway_profile::{AgentSettings, Image};
use uuid::Uuid;

#[derive(Parser)]
struct Arguments {
    #[arg(long)]
    kubeconfig: Option<PathBuf>,
    #[arg(long)]
    context: Option<String>,
    #[arg(long)]
    namespace: Option<String>,
    #[arg(long, default_value = DEFAULT_IMAGE)]
    image: Image,
    #[arg(long)]
    binary: Option<PathBuf>,
    #[arg(long, default_value_t = 5_000_000)]
    size: usize,
    #[arg(long, default_value_t = 3)]
    lives: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let binary = match &arguments.binary {
        Some(path) => std::fs::read(path).with_context(|| path.display().to_string())?,
        None => stand_in(arguments.lives, arguments.size),
    };
    let choice = Choice {
        context: arguments.context,
        namespace: arguments.namespace,
        terminal: true,
    };
    let target = choose(&Sources::from_environment(arguments.kubeconfig), &choice)?;
    let client = target.client().await?;
    println!("{}: {:?}", target.server, target.probe(&client).await?);

    let settings = AgentSettings {
        image: Some(arguments.image),
        grace: Some(30.try_into()?),
        ..AgentSettings::default()
    };
    let placement = Placement {
        namespace: target.namespace.clone(),
        session: Uuid::new_v4(),
        settings: &settings,
        key: Key::generate()?,
        binary: &binary,
    };
    let began = Instant::now();
    let uploading = Mutex::new(None);
    let report = |progress: Progress| {
        let at = began.elapsed();
        match &progress {
            Progress::Uploading { sent, .. } => {
                // The lock is poisoned only if this closure has panicked.
                let Ok(mut uploading) = uploading.lock() else {
                    return;
                };
                if *sent == 0 {
                    println!("{at:>9.3?} runs, uploading");
                    *uploading = Some(at);
                }
            }
            Progress::Creating
            | Progress::Created(_)
            | Progress::WaitingForPod { .. }
            | Progress::Started => {
                println!("{at:>9.3?} {progress:?}")
            }
        }
    };
    let agent = place(&client, &placement, &report)
        .await
        .map_err(|error| anyhow::anyhow!("{error} [{}]\n{}", error.code(), error.remedy()))?;
    let placed = began.elapsed();
    let upload = uploading
        .lock()
        .ok()
        .and_then(|at| *at)
        .map(|at| placed.saturating_sub(at));
    println!(
        "placed in {placed:.3?}, of which the upload of {} bytes {upload:.3?}: {agent:?}",
        binary.len()
    );

    let (sender, end) = tokio::sync::watch::channel(None);
    watch_end(&client, &agent, &sender).await?;
    let gone = end.borrow().clone().unwrap_or(AgentEnd::Unknown);
    println!("{:>9.3?} the agent {gone}", began.elapsed());
    // The developer's Role may lack `get` on pods, but allows to list them.
    let pods: Api<Pod> = Api::namespaced(client, &agent.namespace);
    let ours = ListParams::default().fields(&format!("metadata.name={}", agent.pod));
    let ended = Instant::now();
    while !pods.list(&ours).await?.items.is_empty() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!(
        "{:>9.3?} the pod is gone, {:.3?} after its process ended",
        began.elapsed(),
        ended.elapsed()
    );
    Ok(())
}

fn stand_in(lives: u64, size: usize) -> Vec<u8> {
    let mut script = format!("#!/bin/sh\nsleep {lives}\nexit 0\n#").into_bytes();
    script.resize(size.max(script.len()), b'.');
    script
}
