//! Programs beside the cluster: the laptops' name server, the hosts that it names, and the relay to the API server of an
//! existing cluster.

use anyhow::Result;

use super::{Node, READY_LIMIT};
use crate::Addresses;
use crate::processes::Daemon;
use crate::programs::Programs;

impl Node {
    /// Starts a relay to an API server that the host reaches. Its inner half listens in the node's network, and reaches the
    /// outer half on the host by a Unix socket. The outer half runs in the node's mount namespace, by which it is found
    /// when the bed ends.
    pub(crate) fn start_relay(&mut self, programs: &Programs, addresses: Addresses, to: &str) -> Result<()> {
        let socket = format!("unix:{}", self.files().state("api-server.sock"));
        let mut outer = self
            .machine
            .command_outside(&programs.echo, ["relay", &socket, &format!("tcp:{to}")]);
        let outer = Daemon::start("relay-outside", &self.files().logs(), &mut outer)?;
        self.daemons.push(outer);
        let inner = format!("tcp:{}:{}", addresses.node(), Addresses::API_PORT);
        self.start("relay", &programs.echo, &["relay", &inner, &socket])?;
        self.daemon("relay")?.wait_until("ready", READY_LIMIT, || {
            self.asks_ok(&["get", "--raw", "/readyz"])
        })
    }

    /// Starts the name server of the laptops, and the hosts that it names.
    pub(crate) fn start_neighbors(&mut self, programs: &Programs) -> Result<()> {
        let names = self.files().config("laptops.corefile").display().to_string();
        self.start("name-server", &programs.coredns, &["-conf", &names])?;
        self.start("outside", &programs.echo, &["serve", "-http=80", "-name=outside"])
    }
}
