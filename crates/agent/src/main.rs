//! Far end of the tunnel: a process in the cluster that connects, resolves and sends for one session.
//!
//! It is reachable only through the API server: it listens on the pod's loopback, where port-forward arrives, and acts
//! on nothing before the client has proven that it holds the session's key (see `slipway_tunnel::proof`). The pod's
//! specification contains only the key's SHA-256; the key itself arrived through the standard input of an exec.
//!
//! ```text
//! port-forward ─► serve (proof, grace time) ─► tunnel ─► dial        TCP connections
//!                                                     ├► resolve     DNS questions
//!                                                     ├► datagrams   UDP flows
//!                                                     └► echo        pings
//! ```
//!
//! A connection whose peer vanished ends within a minute (`vanished`).
//!
//! It is linked statically and runs in any image, so it must not use the C library's resolver, and it must not know
//! Kubernetes. It ends by itself when no client returned within its grace.

mod datagrams;
mod dial;
mod echo;
mod key;
mod resolve;
mod serve;
mod vanished;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "slipway-agent",
    version,
    about = "Slipway's agent in the cluster; started by a session"
)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Serve one session until no client returned within the grace time
    Serve {
        /// Folder that contains the session's key
        #[arg(long)]
        dir: PathBuf,
        /// SHA-256 of the key, in hexadecimal digits
        #[arg(long)]
        key_sha256: slipway_key::Fingerprint,
        /// Port on the pod's loopback
        #[arg(long)]
        port: u16,
        /// Seconds without a client after which the agent ends
        #[arg(long, default_value_t = 90)]
        grace: u64,
    },
    /// Connect standard input and output to a serving agent, for carriers through exec
    Stdio {
        /// Port of the serving agent
        #[arg(long)]
        port: u16,
    },
}

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(tracing::Level::INFO)
        .init();
    match run(Arguments::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> anyhow::Result<()> {
    // One thread is enough: each step is shorter than waking another thread.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    match task {
        Task::Serve {
            dir,
            key_sha256,
            port,
            grace,
        } => {
            let descriptors = slipway_tunnel::descriptors::raise_limit();
            let key = key::take(&dir, &key_sha256)?;
            let outcome = runtime.block_on(serve::serve(key, port, Duration::from_secs(grace), descriptors));
            runtime.shutdown_background();
            outcome
        }
        Task::Stdio { port } => runtime.block_on(serve::join_stdio(port)),
    }
}
