//! `cargo xtask bench`: Slipway on the test bed, beside what it is measured against, in one run.
//!
//! The machine that the figures come from also runs the cluster, so absolute ones say little; what counts is how transports
//! compare. Each round goes over all transports before the next begins, so that a busy moment hits all of them alike, and
//! ratios are taken within a round.
//!
//! [`Field`] is the laptop and the pod, [`transport::Transport`] what bytes go over, [`measures`] what is measured, [`Results`] what came of
//! it, and `table` how that is shown.

mod field;
mod figure;
mod goals;
mod measures;
mod memory;
mod results;
mod table;
mod transport;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};

use self::field::Field;
use self::results::Results;
use crate::{build, checkout, machine, root, say};

/// What to measure, and for how long.
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// How often everything is measured; the median counts
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How long each flow of bytes is measured
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Beside kubectl port-forward, the other framings of both
    #[arg(long, value_enum, default_value_t = Peers::Few)]
    peers: Peers,
    /// Only measures whose name holds this
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
    // What was measured before something failed is shown all the same.
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
