//! `cargo xtask cluster`: commands of the test bed.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use slipway_bed::{Bed, BedName, Existing, LaptopKind, Report, Status};

use crate::root;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Create the bed, unless it is up
    Up(Up),
    /// End the bed and everything that runs in it
    Down(Which),
    /// Show the state of the bed
    Status {
        #[command(flatten)]
        which: Which,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Run a program on a laptop, as its ordinary user
    Exec(Exec),
    /// Run kubectl as the cluster's administrator
    Kubectl {
        #[command(flatten)]
        which: Which,
        /// Arguments of kubectl
        #[arg(last = true)]
        arguments: Vec<OsString>,
    },
}

#[derive(Args)]
pub(crate) struct Which {
    /// Name of the bed: 1 to 16 lower-case letters and digits
    #[arg(long, default_value_t)]
    name: BedName,
}

#[derive(Args)]
pub(crate) struct Up {
    #[command(flatten)]
    which: Which,
    /// Use an existing cluster (kind, k3d) instead of the bed's own. The workloads are created in it and stay there
    #[arg(long, value_name = "CONTEXT")]
    use_context: Option<String>,
    /// The kubeconfig that has the context
    #[arg(long, value_name = "FILE", requires = "use_context")]
    kubeconfig: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct Exec {
    #[command(flatten)]
    which: Which,
    /// plain, resolved, firewall, bare; or `node`, where only root is
    machine: String,
    /// Run as root
    #[arg(long, conflicts_with = "helper")]
    root: bool,
    /// Run as the helper's user, with CAP_NET_ADMIN only
    #[arg(long)]
    helper: bool,
    /// The program and its arguments
    #[arg(last = true, required = true)]
    program: Vec<OsString>,
}

pub(crate) fn run(command: Command) -> Result<ExitCode> {
    if !matches!(command, Command::Status { .. }) {
        root::require("for the test bed, which consists of network namespaces")?;
    }
    match command {
        Command::Up(arguments) => up(arguments),
        Command::Down(which) => Bed::down(&which.name).map(|()| ExitCode::SUCCESS),
        Command::Status { which, json } => status(&which.name, json),
        Command::Exec(exec) => self::exec(exec),
        Command::Kubectl { which, arguments } => replace(Bed::attach(&which.name)?.kubectl(arguments)),
    }
}

fn up(arguments: Up) -> Result<ExitCode> {
    let start = Instant::now();
    let mut progress = Progress::default();
    let name = &arguments.which.name;
    let bed = match arguments.use_context {
        None => Bed::up(name, &mut progress)?,
        Some(context) => {
            let kubeconfig = arguments.kubeconfig;
            Bed::up_on(name, &Existing { context, kubeconfig }, &mut progress)?
        }
    };
    let mut out = io::stdout().lock();
    if progress.steps.is_empty() {
        writeln!(out, "bed {name} is up already")?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(out, "\nduration of each step:")?;
    for (step, took) in &progress.steps {
        writeln!(out, "  {step:<28} {:>6.1} s", took.as_secs_f64())?;
    }
    writeln!(out, "  {:<28} {:>6.1} s", "all", start.elapsed().as_secs_f64())?;
    writeln!(out, "\nbed {name} is up: {}", bed.addresses()?.api_server())?;
    writeln!(out, "try: cargo xtask cluster exec plain -- kubectl get pods")?;
    Ok(ExitCode::SUCCESS)
}

/// Prints steps as they begin and end.
#[derive(Default)]
pub(crate) struct Progress {
    steps: Vec<(String, Duration)>,
}

impl Report for Progress {
    fn begins(&mut self, step: &str) {
        // A closed standard error does not stop the bed.
        let _ = writeln!(io::stderr(), "{step} ...");
    }

    fn ended(&mut self, step: &str, took: Duration) {
        self.steps.push((step.to_owned(), took));
    }
}

fn status(name: &BedName, json: bool) -> Result<ExitCode> {
    let status = Bed::status(name)?;
    let mut text = Vec::new();
    if json {
        writeln!(text, "{}", serde_json::to_string_pretty(&status)?)?;
    } else {
        show(&mut text, &status)?;
    }
    // A reader that has closed the pipe, as `head` does, is no error.
    let _ = io::stdout().write_all(&text);
    Ok(if status.up {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn show(out: &mut impl io::Write, status: &Status) -> Result<()> {
    let is_nothing = status.parts.is_empty() && status.namespaces.is_empty();
    let state = match (status.up, is_nothing) {
        (true, _) => "up",
        (false, true) => "down",
        (false, false) => "broken: run `cargo xtask cluster up` to create it again",
    };
    writeln!(out, "bed {}: {state}", status.name)?;
    if let Some(server) = &status.api_server {
        writeln!(out, "API server: {server}")?;
    }
    writeln!(out, "namespaces: {}", status.namespaces.join(" "))?;
    for part in &status.parts {
        let state = if part.running { "runs" } else { "ENDED" };
        writeln!(
            out,
            "  {:<24} {state:<6} {:>8}  {}",
            part.name,
            part.pid,
            part.log.display()
        )?;
    }
    Ok(())
}

fn exec(exec: Exec) -> Result<ExitCode> {
    let bed = Bed::attach(&exec.which.name)?;
    let (program, arguments) = exec.program.split_first().context("no program is given")?;
    if exec.machine == "node" {
        return replace(bed.command_on_node(program, arguments));
    }
    let kind: LaptopKind = exec.machine.parse()?;
    let laptop = bed
        .laptop(kind)
        .with_context(|| format!("this bed has no laptop {kind}"))?;
    let mut command = match (exec.root, exec.helper) {
        (true, _) => laptop.command_as_root(program, arguments),
        (false, true) => laptop.command_as_helper(program, arguments),
        (false, false) => laptop.command(program, arguments),
    };
    if let Some(terminal) = std::env::var_os("TERM") {
        command.env("TERM", terminal);
    }
    replace(command)
}

/// Replaces this process with the program, so that the caller gets its exit status and signals reach it.
fn replace(mut command: std::process::Command) -> Result<ExitCode> {
    Err(command.exec()).context("start the program")
}
