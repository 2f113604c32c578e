//! Test bed: up, down, and access to its parts.

mod clear;
mod making;
mod name;
mod records;
mod status;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use nix::unistd::Uid;
use serde::{Deserialize, Serialize};

use self::clear::clear;
use self::making::Maker;
pub use self::name::BedName;
use self::records::{lock, take_index};
pub use self::status::Status;
use crate::Addresses;
use crate::cache::Cache;
use crate::existing::Existing;
use crate::laptop::Laptop;
use crate::laptop_kind::LaptopKind;
use crate::machine::Runner;
use crate::node::{Files, Node};
use crate::report::Report;

/// A running bed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Bed {
    name: BedName,
    index: u8,
    node: Node,
    laptops: Vec<Laptop>,
    folder: PathBuf,
}

/// Default domain of the cluster's names.
const CLUSTER_DOMAIN: &str = "cluster.local";

impl Bed {
    /// Returns the bed `name`; creates it if it is not running. Needs root. Takes minutes if nothing is cached.
    ///
    /// An incomplete bed, left by a crash, is removed first. When this fails, the parts of the bed are left for inspection
    /// until the next `up` or [`Bed::down`].
    pub fn up(name: &BedName, report: &mut dyn Report) -> Result<Self> {
        Self::up_with(name, CLUSTER_DOMAIN, None, report)
    }

    /// As [`Bed::up`], with another domain of the cluster's names. A running bed keeps its domain.
    pub fn up_with_domain(name: &BedName, domain: &str, report: &mut dyn Report) -> Result<Self> {
        Self::up_with(name, domain, None, report)
    }

    /// As [`Bed::up`], with an existing cluster. Its API server must be reachable from here. The workloads are created in
    /// it, and stay there when the bed ends: use a cluster that will be deleted.
    pub fn up_on(name: &BedName, existing: &Existing, report: &mut dyn Report) -> Result<Self> {
        Self::up_with(name, CLUSTER_DOMAIN, Some(existing), report)
    }

    fn up_with(
        name: &BedName,
        domain: &str,
        existing: Option<&Existing>,
        report: &mut dyn Report,
    ) -> Result<Self> {
        ensure!(
            Uid::effective().is_root(),
            "a bed is made of namespaces: run this as root"
        );
        let cache = Cache::of_user()?;
        let _lock = lock(&cache, name)?;
        if let Ok(bed) = Self::load(&cache, name)
            && bed.runs()
        {
            return Ok(bed);
        }
        clear(&cache, name)?;
        let index = take_index(&cache, name)?;
        Maker {
            cache,
            name: name.clone(),
            domain: domain.to_owned(),
            addresses: Addresses::of_bed(index)?,
        }
        .make(existing, report)
    }

    /// Returns the bed `name`, if it is running.
    pub fn attach(name: &BedName) -> Result<Self> {
        let bed = Self::load(&Cache::of_user()?, name)
            .with_context(|| format!("no bed {name} is up: `cargo xtask cluster up --name {name}`"))?;
        ensure!(
            bed.runs(),
            "bed {name} has lost a part: `cargo xtask cluster status --name {name}` says which"
        );
        Ok(bed)
    }

    /// Ends the bed `name` and everything that runs in it, also if it is incomplete or does not exist.
    pub fn down(name: &BedName) -> Result<()> {
        ensure!(Uid::effective().is_root(), "a bed needs root: run this as root");
        let cache = Cache::of_user()?;
        let _lock = lock(&cache, name)?;
        clear(&cache, name)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &BedName {
        &self.name
    }

    /// Its addresses.
    pub fn addresses(&self) -> Result<Addresses> {
        Addresses::of_bed(self.index)
    }

    /// One of its laptops.
    #[must_use]
    pub fn laptop(&self, kind: LaptopKind) -> Option<&Laptop> {
        self.laptops.iter().find(|laptop| laptop.kind == kind)
    }

    /// All its laptops.
    #[must_use]
    pub fn laptops(&self) -> &[Laptop] {
        &self.laptops
    }

    /// Returns a kubectl command that runs on the node as the cluster's administrator.
    pub fn kubectl(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        self.node.kubectl(arguments)
    }

    /// Returns a command that root runs on the node, where pods and services are reachable.
    pub fn command_on_node(
        &self,
        program: impl AsRef<OsStr>,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Command {
        self.node
            .machine
            .command(Runner::Root, Path::new("/"), program, arguments)
    }

    /// Kills the API server with SIGKILL, and returns when a new one with the same arguments serves. It affects all
    /// laptops, so the caller must hold the lock of each ([`Laptop::lock`]).
    pub fn restart_api_server(&self) -> Result<()> {
        self.node.restart_api_server()
    }

    /// Path of a kubeconfig on the host: `admin`, `developer`, or `expired`, which has an expired certificate. Its server is
    /// reachable only from laptops.
    #[must_use]
    pub fn kubeconfig(&self, user: &str) -> PathBuf {
        Files::new(&self.folder).kubeconfig(user)
    }

    /// Paths of the certificate and key of the cluster's authority, on the host. A bed with an existing cluster has none.
    #[must_use]
    pub fn authority(&self) -> (PathBuf, PathBuf) {
        let files = Files::new(&self.folder);
        (files.pki("ca.crt").into(), files.pki("ca.key").into())
    }

    fn runs(&self) -> bool {
        self.node.runs() && self.laptops.iter().all(Laptop::runs)
    }
}
