//! `cargo xtask bench`: measurements of Slipway and other transports on the test bed, in one run.
//!
//! The measured machine also runs the cluster, so absolute figures mean little; the comparison of transports counts.
//! Each round measures all transports before the next round, so that a busy moment affects all of them, and ratios are
//! taken within a round.
//!
//! [`Field`] is the laptop and the pod, [`transport::Transport`] the connection that is measured, [`measures`] the
//! measurements, [`Results`] their results, and `table` prints them.

mod field;
mod figure;
mod goals;
mod measures;
mod memory;
mod results;
mod sizes;
mod table;
mod transport;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};

use self::field::Field;
use self::results::Results;
use crate::{build, checkout, machine, root, say};

/// Arguments of `cargo xtask bench`.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// Number of rounds; the median counts
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Seconds for which each flow of bytes is measured
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Also measure the other framings of kubectl port-forward and of the carrier
    #[arg(long, value_enum, default_value_t = Peers::Few)]
    peers: Peers,
    /// Run only measures whose name contains this
    #[arg(long)]
    only: Option<String>,
    /// Write every figure of every round to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Peers {
    Few,
    All,
}

pub(crate) fn run(arguments: &Bench) -> anyhow::Result<ExitCode> {
    root::require("to make network namespaces and run a Kubernetes in them")?;
    machine::ensure_packages()?;
    checkout::take_over()?;
    say("Building Slipway as it is released");
    ensure!(build::release().status()?.success(), "Slipway could not be built");
    let mut results = Results::default();
    // Results from before a failure are shown too.
    let outcome = Field::make().and_then(|mut field| measures::run(arguments, &mut field, &mut results));
    say(&format!(
        "\n{}\n\n{}",
        table::machine(),
        table::of(&results, &goals::ALL)
    ));
    if let Some(file) = &arguments.json {
        let text = serde_json::to_string_pretty(&results.to_json())?;
        std::fs::write(file, text).with_context(|| format!("Failed to write {}", file.display()))?;
    }
    outcome.map(|()| ExitCode::SUCCESS)
}
