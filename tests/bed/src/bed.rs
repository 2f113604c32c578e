//! A bed as a whole: up, down, and what is known of it.

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

/// The domain of the cluster's names unless another is wanted.
const CLUSTER_DOMAIN: &str = "cluster.local";

impl Bed {
    /// The bed called `name`, made if it is not running. Needs root. Minutes where nothing is cached.
    ///
    /// Half a bed, left by a crash, is cleared away first. When this fails, what was made is left for inspection
    /// until the next `up` or [`Bed::down`].
    pub fn up(name: &BedName, report: &mut dyn Report) -> Result<Self> {
        Self::up_with(name, CLUSTER_DOMAIN, None, report)
    }

    /// The same with another domain of the cluster's names. One that is running keeps its own.
    pub fn up_with_domain(name: &BedName, domain: &str, report: &mut dyn Report) -> Result<Self> {
        Self::up_with(name, domain, None, report)
    }

    /// The same, with laptops before a cluster that there is already. Its API server must be reachable from here. The
    /// workloads are put into it, and stay there when the bed ends: it is meant for a cluster that is thrown away.
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

    /// The bed called `name`, if it is running.
    pub fn attach(name: &BedName) -> Result<Self> {
        let bed = Self::load(&Cache::of_user()?, name)
            .with_context(|| format!("no bed {name} is up: `cargo xtask cluster up --name {name}`"))?;
        ensure!(
            bed.runs(),
            "bed {name} has lost a part: `cargo xtask cluster status --name {name}` says which"
        );
        Ok(bed)
    }

    /// Ends the bed called `name` and whatever runs in it, however much of it there is. Fine if there is none.
    pub fn down(name: &BedName) -> Result<()> {
        ensure!(Uid::effective().is_root(), "a bed is root's: run this as root");
        let cache = Cache::of_user()?;
        let _lock = lock(&cache, name)?;
        clear(&cache, name)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &BedName {
        &self.name
    }

    /// Who has which address.
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

    /// kubectl as the cluster's administrator, from the node: for what a test prepares or looks at.
    pub fn kubectl(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
        self.node.kubectl(arguments)
    }

    /// A program that root runs on the node, where pods and services are reachable.
    pub fn command_on_node(
        &self,
        program: impl AsRef<OsStr>,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Command {
        self.node
            .machine
            .command(Runner::Root, Path::new("/"), program, arguments)
    }

    /// Kills the API server as the kernel would, and returns when another one, with the same arguments, serves. For
    /// everyone on this bed: whoever does this holds every laptop ([`Laptop::lock`]).
    pub fn restart_api_server(&self) -> Result<()> {
        self.node.restart_api_server()
    }

    /// A kubeconfig on the host: `admin`, `developer`, or `expired`, which was the developer's once. Its server is
    /// reachable from laptops only.
    #[must_use]
    pub fn kubeconfig(&self, user: &str) -> PathBuf {
        Files::new(&self.folder).kubeconfig(user)
    }

    fn runs(&self) -> bool {
        self.node.runs() && self.laptops.iter().all(Laptop::runs)
    }
}
