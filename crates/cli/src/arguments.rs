//! What can be written on the command line.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use slipway_profile::{AlsoProxy, Context as ContextName, Image, Namespace, Profile, ProfileName, Store};
use slipway_session::Options;

/// Puts this laptop in a Kubernetes cluster.
#[derive(Debug, Parser)]
#[command(name = "slipway", version, propagate_version = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Connect this laptop to a cluster, until Ctrl-C or `slipway disconnect`
    Connect(command_connect::Connect),
}

pub(crate) mod command_connect {
    use super::Session;

    /// Arguments of `slipway connect`.
    #[derive(Debug, clap::Args)]
    pub(crate) struct Connect {
        #[command(flatten)]
        pub(crate) session: Session,
        /// Return once connected; the session goes on in the background
        #[arg(long)]
        pub(crate) detach: bool,
        /// Write the session's log to standard error (twice: in detail)
        #[arg(short, long, action = clap::ArgAction::Count)]
        pub(crate) verbose: u8,
    }
}

/// Which cluster, and how; the command line goes before the profile.
#[derive(Debug, Args)]
pub(crate) struct Session {
    /// A saved profile; without one, kubeconfig's current context
    #[arg(value_name = "PROFILE")]
    pub(crate) profile: Option<ProfileName>,
    /// Context of the kubeconfig
    #[arg(long)]
    pub(crate) context: Option<ContextName>,
    /// Namespace to be in
    #[arg(short, long)]
    pub(crate) namespace: Option<Namespace>,
    /// Kubeconfig file
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Reach this through the cluster too; may be given several times
    #[arg(long, value_name = "HOST|IP|CIDR")]
    pub(crate) also_proxy: Vec<AlsoProxy>,
    /// Image that the agent runs in
    #[arg(long, value_name = "IMAGE")]
    pub(crate) agent_image: Option<Image>,
    /// Seconds that the agent waits for a client that went away
    #[arg(long, value_name = "SECONDS", value_parser = grace)]
    pub(crate) agent_grace: Option<slipway_profile::Grace>,
    /// The privileged helper's socket
    #[arg(
        long,
        env = "SLIPWAY_HELPER_SOCKET",
        value_name = "PATH",
        default_value = slipway_helper_api::DEFAULT_SOCKET
    )]
    pub(crate) helper_socket: PathBuf,
}

impl Session {
    /// The profile with what the command line says on top of it.
    ///
    /// # Errors
    ///
    /// When the profile cannot be read, or a path is not text.
    pub(crate) fn options(self, terminal: bool) -> anyhow::Result<Options> {
        let saved = self.profile.is_some();
        let mut profile = match &self.profile {
            Some(name) => Store::of_user()?.load(name)?,
            None => Profile::new("unsaved".parse()?),
        };
        if let Some(context) = self.context {
            profile.cluster.context = Some(context);
        }
        if let Some(namespace) = self.namespace {
            profile.cluster.namespace = Some(namespace);
        }
        if let Some(file) = self.kubeconfig {
            let file = std::path::absolute(&file)?;
            let text = file
                .to_str()
                .with_context(|| format!("{} is not text", file.display()))?;
            profile.cluster.kubeconfig = Some(text.parse()?);
        }
        if let Some(image) = self.agent_image {
            profile.agent.image = Some(image);
        }
        if let Some(grace) = self.agent_grace {
            profile.agent.grace = Some(grace);
        }
        for extra in self.also_proxy {
            if !profile.also_proxy.contains(&extra) {
                profile.also_proxy.push(extra);
            }
        }
        let home = std::env::home_dir().context("There is no home folder: set HOME")?;
        Ok(Options {
            profile,
            saved,
            helper: self.helper_socket,
            terminal,
            home,
        })
    }
}

fn grace(text: &str) -> anyhow::Result<slipway_profile::Grace> {
    let seconds: u32 = text.parse().context("expected a number of seconds")?;
    Ok(slipway_profile::Grace::try_from(seconds)?)
}
