//! Developer commands: `cargo xtask COMMAND`. One file for each.

mod cluster;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Developer commands of this repository")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The test bed: a real Kubernetes, and laptops without a way out
    #[command(subcommand)]
    Cluster(cluster::Command),
}

fn main() -> anyhow::Result<ExitCode> {
    match Arguments::parse().command {
        Command::Cluster(command) => cluster::run(command),
    }
}
