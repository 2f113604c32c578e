//! Developer commands: `cargo xtask COMMAND`, one file each.

mod bench;
mod build;
mod cache;
mod checkout;
mod cluster;
mod coverage;
mod demo;
mod folders;
mod helper;
mod machine;
mod root;
mod schema;
mod test;
mod toolbox;

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
    /// Measures Slipway on the test bed, and kubectl port-forward for comparison
    Bench(bench::Bench),
    /// The test bed: a real Kubernetes, and laptops without other networks
    #[command(subcommand)]
    Cluster(cluster::Command),
    /// Shows Slipway: a temporary Kubernetes, a laptop, a click in the tray, a page by its full name
    Demo(demo::Demo),
    /// Runs every test and check, and shows how long each took
    Test(test::Test),
    /// Shows the sizes of the caches, and removes old files
    Cache(cache::Cache),
    /// Lists the lines of a package that its unit tests do not run
    Coverage(coverage::Coverage),
    /// Renews docs/schema, the JSON Schemas of the `--json` output
    Schema,
}

fn main() -> anyhow::Result<ExitCode> {
    match Arguments::parse().command {
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Cluster(command) => cluster::run(command),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Test(arguments) => test::run(&arguments),
        Command::Cache(arguments) => cache::run(&arguments),
        Command::Coverage(arguments) => coverage::run(&arguments),
        Command::Schema => schema::run(),
    }
}

/// Prints a line for the developer.
#[expect(clippy::print_stdout, reason = "developer commands print")]
fn say(line: &str) {
    println!("{line}");
}
