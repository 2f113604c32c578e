//! Node: the machine with every process of the cluster, and the laptops' name server.

mod cgroup;
mod cluster;
mod configuration;
mod files;
mod identities;
mod neighbors;
mod workloads;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

pub(crate) use self::cgroup::remove_cgroup;
pub(crate) use self::files::Files;
use crate::machine::{Machine, Runner};
use crate::processes::{self, Daemon};
use crate::programs::Programs;

/// A running node.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Node {
    pub(crate) machine: Machine,
    pub(crate) daemons: Vec<Daemon>,
    folder: PathBuf,
    kube: PathBuf,
}

/// The node's name in the cluster.
const NAME: &str = "node";

/// How long one part may take to be ready. Long, because other builds may use the processors.
const READY_LIMIT: Duration = Duration::from_secs(120);

/// Socket of the container runtime.
const CONTAINERD: &str = "/run/containerd/containerd.sock";

impl Node {
    /// Creates the node on a new machine.
    pub(crate) fn new(machine: Machine, files: &Files, programs: &Programs) -> Self {
        Self {
            machine,
            daemons: Vec::new(),
            folder: files.folder.clone(),
            kube: programs.kube.clone(),
        }
    }

    fn files(&self) -> Files {
        Files::new(&self.folder)
    }

    /// Returns a kubectl command that runs on the node as the cluster's administrator.
    pub(crate) fn kubectl(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        // It is the child of the program that enters the node's namespaces, and must end when that is killed.
        let death_signal = ["--pdeathsig", "KILL", "--"];
        let mut command = self
            .machine
            .command(Runner::Root, Path::new("/"), "setpriv", death_signal);
        command
            .arg(&self.kube)
            .arg("kubectl")
            .args(arguments)
            .env("KUBECONFIG", self.files().kubeconfig("admin"))
            .env("HOME", "/tmp");
        command
    }

    /// Whether every part still runs.
    pub(crate) fn runs(&self) -> bool {
        self.machine.runs() && self.daemons.iter().all(|daemon| daemon.process.runs())
    }

    fn asks_ok(&self, arguments: &[&str]) -> bool {
        processes::output(&mut self.kubectl(arguments)).is_ok_and(|output| output.status.success())
    }

    fn daemon(&self, name: &str) -> Result<&Daemon> {
        self.daemons
            .iter()
            .find(|daemon| daemon.name == name)
            .with_context(|| format!("{name} is not started"))
    }

    fn start(
        &mut self,
        name: &str,
        program: impl AsRef<OsStr>,
        arguments: &[impl AsRef<OsStr>],
    ) -> Result<()> {
        let mut command = self
            .machine
            .command(Runner::Root, Path::new("/"), program, arguments);
        let daemon = Daemon::start(name, &self.files().logs(), &mut command)?;
        self.daemons.push(daemon);
        Ok(())
    }
}
