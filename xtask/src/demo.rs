//! `cargo xtask demo`: a temporary Kubernetes, a laptop, a click in the tray, a page by its full name. With `--context`,
//! an existing cluster, and this machine as the laptop.

mod existing;

use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context, ensure};
use clap::Args;
use slipway_bed::{Bed, BedName, Laptop, LaptopKind};

use crate::helper::{Helper, LAPTOP_SOCKET};
use crate::{build, checkout, machine, root, say};

/// The page that is fetched: a service by its fully qualified name.
const PAGE: &str = "http://web.shop.svc.cluster.local/";

/// Arguments of the demo.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Without a screen: click over D-Bus, and print the page
    #[arg(long)]
    headless: bool,
    /// Connect this machine to an existing cluster, by its context in the kubeconfig, instead of a temporary one
    #[arg(long)]
    context: Option<String>,
    /// The kubeconfig that has the context
    #[arg(long, value_name = "FILE", requires = "context")]
    kubeconfig: Option<PathBuf>,
    /// An image with busybox that the cluster can pull, for the demo's page and the agent
    #[arg(long, requires = "context", default_value = existing::IMAGE)]
    image: String,
}

pub(crate) fn run(arguments: &Demo) -> anyhow::Result<ExitCode> {
    if let Some(context) = &arguments.context {
        return existing::run(context, arguments);
    }
    root::require("to make network namespaces and run a Kubernetes in them")?;
    machine::ensure_packages()?;
    checkout::take_over()?;
    let begun = Instant::now();
    say("Building Slipway");
    ensure!(
        build::everything().status()?.success(),
        "Slipway could not be built"
    );
    let bed = Bed::up(&BedName::default(), &mut crate::cluster::Progress::default())?;
    let laptop = bed
        .laptop(LaptopKind::Plain)
        .context("The bed has no plain laptop")?;
    let _lock = laptop.lock()?;
    let _helper = Helper::start_on(laptop, &program("slipway-helper")?)?;
    let outcome = if arguments.headless {
        click_through(laptop)?
    } else {
        sit_down(laptop)?
    };
    say(&format!(
        "\nThe demo took {} s. `cargo xtask cluster down` ends its Kubernetes.",
        begun.elapsed().as_secs()
    ));
    Ok(outcome)
}

fn click_through(laptop: &Laptop) -> anyhow::Result<ExitCode> {
    let driver = program("slipway-tray-driver")?;
    let desktop = program("slipway-desktop")?;
    let arguments = [
        "--desktop".as_ref(),
        desktop.as_os_str(),
        "--page".as_ref(),
        PAGE.as_ref(),
    ];
    let status = laptop
        .command(&driver, arguments)
        .env("SLIPWAY_HELPER_SOCKET", LAPTOP_SOCKET)
        .stdin(Stdio::null())
        .status()
        .context("Failed to start the driver on the laptop")?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Starts a shell on the laptop.
fn sit_down(laptop: &Laptop) -> anyhow::Result<ExitCode> {
    let slipway = program("slipway")?;
    let folder = slipway.parent().context("The programs are in no folder")?;
    say(&format!(
        "\nThis shell is on a laptop that reaches only an API server. Try:\n\n  \
         slipway-desktop &     the tray, if this machine has one (click Connect)\n  \
         slipway connect &     the same from a terminal\n  curl {PAGE}\n\nLeave with `exit`."
    ));
    let path = std::env::var("PATH").unwrap_or_default();
    let mut shell = laptop.command("bash", ["--norc"]);
    shell
        .env("SLIPWAY_HELPER_SOCKET", LAPTOP_SOCKET)
        .env("PATH", format!("{}:{path}", folder.display()));
    pass_on_screen(&mut shell);
    shell.status().context("Failed to start a shell on the laptop")?;
    Ok(ExitCode::SUCCESS)
}

/// Passes on the environment that a program needs to show a window or a tray icon.
fn pass_on_screen(command: &mut Command) {
    for passed_on in [
        "DISPLAY",
        "WAYLAND_DISPLAY",
        "XAUTHORITY",
        "DBUS_SESSION_BUS_ADDRESS",
        "TERM",
    ] {
        if let Some(value) = std::env::var_os(passed_on) {
            command.env(passed_on, value);
        }
    }
}

fn program(name: &str) -> anyhow::Result<PathBuf> {
    Ok(build::target_folder()?.join("debug").join(name))
}
