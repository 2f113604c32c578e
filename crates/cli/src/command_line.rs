//! Command line: the commands that there are.

use clap::{Parser, Subcommand};

use crate::command;

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
    Connect(command::connect::Connect),
    /// Connect, run a command, pass on its exit code, disconnect
    Run(command::run::Run),
    /// Show what is connected
    Status(command::status::Status),
    /// End sessions and wait until they are gone
    Disconnect(command::disconnect::Disconnect),
    /// Say whose name it is, who answered, and why it failed
    Explain(command::explain::Explain),
    /// Show the names that programs asked for lately, with their answers
    Names(command::names::Names),
    /// Show a session's log
    Logs(command::logs::Logs),
    /// List what can be chosen from: contexts, namespaces, workloads, services, ports
    List(command::list::List),
    /// Show and change saved profiles
    Profiles(command::profiles::Profiles),
    /// Check whether this laptop and account can connect, with a remedy for each thing that fails
    Doctor(command::doctor::Doctor),
    /// Remove what sessions left behind, in the cluster and on this laptop
    Cleanup(command::cleanup::Cleanup),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_fit_together() {
        Arguments::command().debug_assert();
    }
}
