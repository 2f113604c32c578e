//! Commands of the command line.

use clap::{Parser, Subcommand};

use crate::command;

/// Connects this laptop to a Kubernetes cluster, as if the laptop were inside
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
    /// Connect, run a command, disconnect, and exit with its exit code
    Run(command::run::Run),
    /// Show the sessions
    Status(command::status::Status),
    /// Change what a running session sends to the cluster, or undo a change
    Change(command::change::Change),
    /// End a session, or all of them, and wait until it has ended
    Disconnect(command::disconnect::Disconnect),
    /// Explain who answers a name or address, and why it fails
    Explain(command::explain::Explain),
    /// Show the names that programs asked for recently, with the answers
    Names(command::names::Names),
    /// Show a session's log
    Logs(command::logs::Logs),
    /// List contexts, namespaces, workloads, services or ports
    List(command::list::List),
    /// Manage saved profiles
    Profiles(command::profiles::Profiles),
    /// Check whether this laptop and account can connect and what a running session reports, with remedies
    Doctor(command::doctor::Doctor),
    /// Start, end or show the privileged helper
    Helper(command::helper::Helper),
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
