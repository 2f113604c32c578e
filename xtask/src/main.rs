//! Developer commands: `cargo xtask COMMAND`. One file for each.

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
    /// Times Slipway on the test bed beside what it is measured against
    Bench(bench::Bench),
    /// The test bed: a real Kubernetes, and laptops without a way out
    #[command(subcommand)]
    Cluster(cluster::Command),
    /// A throw-away Kubernetes, a laptop, a click in the tray, a page by its full name
    Demo(demo::Demo),
    /// Every test and check, with what took how long
    Test(test::Test),
    /// What the caches hold
    Cache(cache::Cache),
    /// Lines of a package that its unit tests do not run
    Coverage(coverage::Coverage),
    /// Renews docs/schema: what `--json` prints, as JSON Schema
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

/// Tells the developer something.
#[expect(clippy::print_stdout, reason = "what a command of this kind is for")]
fn say(line: &str) {
    println!("{line}");
}
