//! The privileged helper: opens a TUN, sets addresses, routes and host DNS for a session, and hands the TUN over.
//!
//! It is the only part of Slipway with a privilege (CAP_NET_ADMIN), so it is small. The crate `slipway-helper-api`
//! defines its requests. It must not know what a cluster, a tunnel or a window is.
//!
//! # How data flows
//! [`server`] accepts connections at the [`socket`] and holds a conversation on each: [`peer`] identifies the client,
//! [`authority`] decides whether it may have a lease, and [`lease`] makes and changes leases. [`policy`] and
//! [`conflict`] decide which networks a lease may have, and change nothing. When the laptop's routing changes, each
//! conversation has its lease checked again. [`network`] (rtnetlink), [`tun`],
//! [`redirect`] (nftables), [`resolved`] (D-Bus) and [`upstream`] change the system; [`names`] picks between redirect
//! and resolved; [`given`] keeps what resolved got.
//!
//! [`redirect`] encodes its nftables messages itself: the libraries for them are bindings to C, run `nft`, are under
//! the GPL, or have more code than the rest of this process.
//!
//! # How it ends
//! A helper that was started in the [`background`] for one user ends with that user's login. Every helper ends by a
//! signal, which `--stop` sends.
//!
//! A lease ends with its connection. The helper then removes the device, and with it every address and route, even
//! while a session still holds its descriptor.
//!
//! If the helper is killed, the kernel removes its nft tables with the socket that owns them and closes its
//! connections. Sessions notice that and close their devices, which removes them; systemd-resolved forgets a link that
//! is gone. At its next start the helper removes leftover routes and rules, which it recognizes by their protocol
//! number.

mod authority;
mod background;
mod conflict;
mod given;
mod lease;
mod names;
mod network;
mod notify;
mod peer;
mod policy;
mod privilege;
mod redirect;
mod refuse;
mod resolved;
mod server;
mod slots;
mod socket;
mod tun;
mod upstream;

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use clap::Parser;
use slipway_helper_api::DEFAULT_SOCKET;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::filter::LevelFilter;

use crate::authority::Authority;
use crate::lease::Leases;
use crate::network::Network;
use crate::policy::Policy;
use crate::server::Server;

/// Opens TUN devices and sets routes and DNS for Slipway's sessions.
#[derive(Debug, Parser)]
#[command(name = "slipway-helper", version)]
struct Arguments {
    /// Path of the socket to listen at
    #[arg(long, value_name = "PATH", default_value = DEFAULT_SOCKET)]
    socket: PathBuf,

    /// Serve only this user, without asking polkit; by default polkit decides who may connect
    #[arg(long, value_name = "UID")]
    allow_uid: Option<u32>,

    /// Go on in the background once the socket listens, and end with the last login session of the user
    #[arg(long, requires = "allow_uid")]
    background: bool,

    /// Take the place of a helper that listens at the socket
    #[arg(long, requires = "background")]
    replace: bool,

    /// End the helper that listens at the socket, and start none
    #[arg(long, conflicts_with = "background")]
    stop: bool,
}

/// Reads the log level from `SLIPWAY_LOG`, for example `debug`.
fn log_level() -> LevelFilter {
    let level = std::env::var("SLIPWAY_LOG").ok();
    level
        .and_then(|level| level.parse().ok())
        .unwrap_or(LevelFilter::INFO)
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(log_level())
        // journald adds the time itself.
        .without_time()
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    privilege::require()?;
    let policy = Policy::read(Path::new("/etc/slipway/helper.toml"))?;
    privilege::shed()?;
    // Capabilities go first: no power is used on a path from the command line.
    if arguments.replace || arguments.stop {
        background::end_other(&arguments.socket)?;
    }
    if arguments.stop {
        return Ok(());
    }
    let socket = socket::place(&arguments.socket)?;
    let listener = socket::listen(&socket)?;
    if arguments.background {
        background::enter(&listener)?;
    }

    // The work is short calls into the kernel, so more threads would cost memory and gain no time.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("Failed to start the runtime")?;
    let authority = arguments.allow_uid.map_or(Authority::Polkit, Authority::Only);
    let login = arguments.allow_uid.filter(|_| arguments.background);
    let result = runtime.block_on(run(listener, policy, authority, login));
    // systemd removes the folder with the unit, so a failure is harmless.
    let _ = std::fs::remove_file(&socket);
    result
}

async fn run(
    listener: std::os::unix::net::UnixListener,
    policy: Policy,
    authority: Authority,
    login: Option<u32>,
) -> anyhow::Result<()> {
    let network = Network::open().context("Failed to open a routing socket")?;
    let swept = network
        .sweep()
        .await
        .context("Failed to look for leftovers of an earlier run")?;
    if swept > 0 {
        tracing::info!(swept, "removed leftover routes and rules");
    }
    let listener = tokio::net::UnixListener::from_std(listener).context("Failed to listen")?;
    let server = Server::new(Arc::new(Leases::new(network, policy)), authority);
    let mut terminate = signal(SignalKind::terminate()).context("Failed to listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("Failed to listen for SIGINT")?;
    notify::ready();
    tracing::info!("listening for sessions");
    let end = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = background::logged_out(login) => tracing::info!("ending with the user's login"),
        }
    };
    server.serve(listener, end).await;
    Ok(())
}
