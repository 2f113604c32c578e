//! A bed as a whole: up, down, and what is known of it.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;

use anyhow::{Context, Result, ensure};
use nix::unistd::Uid;
use serde::{Deserialize, Serialize};

use crate::cache::Cache;
use crate::existing::Existing;
use crate::laptop::{self, BedFiles, Laptop, LaptopKind};
use crate::machine::{self, Machine, Plan, Runner};
use crate::node::{self, Files, Node};
use crate::packages::{self, Layer};
use crate::processes::{self, Belonging};
use crate::programs::{self, Programs};
use crate::report::{self, Report};
use crate::{Addresses, images, network, resolved};

/// What a bed is called: part of the names of its namespaces and control groups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BedName(String);

impl Default for BedName {
    fn default() -> Self {
        Self("default".to_owned())
    }
}

impl FromStr for BedName {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Self> {
        let is_fit = (1..=16).contains(&name.len())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        ensure!(
            is_fit,
            "{name:?} is no name for a bed: 1 to 16 small letters and digits"
        );
        Ok(Self(name.to_owned()))
    }
}

impl TryFrom<String> for BedName {
    type Error = anyhow::Error;

    fn try_from(name: String) -> Result<Self> {
        name.parse()
    }
}

impl From<BedName> for String {
    fn from(name: BedName) -> Self {
        name.0
    }
}

impl fmt::Display for BedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl BedName {
    /// The bed that tests are to use: the one that `SLIPWAY_BED` names, else the default one.
    ///
    /// # Errors
    /// If it names none.
    pub fn of_tests() -> Result<Self> {
        std::env::var("SLIPWAY_BED").map_or_else(|_unset| Ok(Self::default()), |name| name.parse())
    }

    /// A bed beside this one, for a test that needs one unlike it.
    ///
    /// # Errors
    /// If both together are no name.
    pub fn beside(&self, what: &str) -> Result<Self> {
        format!("{self}{what}").parse()
    }

    /// What its namespaces' names begin with. No other bed's do: names have no hyphen.
    fn prefix(&self) -> String {
        format!("slw-{self}-")
    }

    fn cgroup(&self) -> String {
        format!("slw-{self}")
    }
}

/// A running bed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Bed {
    name: BedName,
    index: u8,
    node: Node,
    laptops: Vec<Laptop>,
    folder: PathBuf,
}

/// What `status` tells.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// The bed's name.
    pub name: BedName,
    /// Whether all of it runs.
    pub up: bool,
    /// `https://...`, for its laptops only.
    pub api_server: Option<String>,
    /// Its namespaces, whether or not what made them still runs.
    pub namespaces: Vec<String>,
    /// Its processes.
    pub parts: Vec<Part>,
}

/// One process of a bed.
#[derive(Debug, Clone, Serialize)]
pub struct Part {
    /// The machine that it is part of.
    pub machine: String,
    /// What it is called.
    pub name: String,
    /// Its number on the host.
    pub pid: i32,
    /// Whether it still runs.
    pub running: bool,
    /// Where its output goes.
    pub log: PathBuf,
}

const STATE: &str = "bed.json";

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

    /// What there is of the bed called `name`.
    pub fn status(name: &BedName) -> Result<Status> {
        let bed = Self::load(&Cache::of_user()?, name).ok();
        Ok(Status {
            name: name.clone(),
            up: bed.as_ref().is_some_and(Self::runs),
            api_server: bed
                .as_ref()
                .map(|bed| bed.addresses().map(Addresses::api_server))
                .transpose()?,
            namespaces: network::namespaces(&name.prefix())?,
            parts: bed.iter().flat_map(Self::parts).collect(),
        })
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

    fn load(cache: &Cache, name: &BedName) -> Result<Self> {
        let text = fs::read_to_string(folder(cache, name).join(STATE))?;
        serde_json::from_str(&text).context("the bed's state was written by another version")
    }

    fn save(&self) -> Result<()> {
        let unfinished = self.folder.join(".state");
        fs::write(&unfinished, serde_json::to_vec_pretty(self)?)?;
        fs::rename(unfinished, self.folder.join(STATE)).context("write the bed's state")
    }

    fn runs(&self) -> bool {
        self.node.runs() && self.laptops.iter().all(Laptop::runs)
    }

    fn parts(&self) -> Vec<Part> {
        let machines = std::iter::once((&self.node.machine, &self.node.daemons)).chain(
            self.laptops
                .iter()
                .map(|laptop| (&laptop.machine, &laptop.daemons)),
        );
        machines
            .flat_map(|(machine, daemons)| {
                daemons.iter().map(|daemon| Part {
                    machine: machine.name().to_owned(),
                    name: daemon.name.clone(),
                    pid: daemon.process.pid,
                    running: daemon.process.runs(),
                    log: daemon.log.clone(),
                })
            })
            .collect()
    }
}

fn folder(cache: &Cache, name: &BedName) -> PathBuf {
    cache.beds().join(&name.0)
}

/// One `up` or `down` at a time; the lock lies outside the folder that `down` removes.
fn lock(cache: &Cache, name: &BedName) -> Result<File> {
    fs::create_dir_all(cache.beds())?;
    fs::set_permissions(cache.beds(), Permissions::from_mode(0o700))?;
    let file = File::create(cache.beds().join(format!(".{name}.lock")))?;
    file.lock().context("wait for another up or down")?;
    Ok(file)
}

/// Where a bed's index is written down, from before anything is made with it.
const INDEX: &str = "index";

/// Takes the lowest index that no other bed has. 0 is kept for the default bed, whose addresses are then always the
/// same.
fn take_index(cache: &Cache, name: &BedName) -> Result<u8> {
    let guard = File::create(cache.beds().join(".index.lock"))?;
    guard.lock().context("wait for another up")?;
    let mut taken = BTreeSet::new();
    if *name != BedName::default() {
        taken.insert(0);
    }
    for entry in fs::read_dir(cache.beds())? {
        let index: Option<u8> = fs::read_to_string(entry?.path().join(INDEX))
            .ok()
            .and_then(|index| index.parse().ok());
        taken.extend(index);
    }
    let index = (0..Addresses::MOST_BEDS)
        .find(|index| !taken.contains(index))
        .context("too many beds: take one down")?;
    fs::create_dir_all(folder(cache, name))?;
    fs::write(folder(cache, name).join(INDEX), index.to_string())?;
    Ok(index)
}

/// Ends and removes everything of a bed, found by the names it uses rather than by records, which a crash leaves
/// incomplete.
fn clear(cache: &Cache, name: &BedName) -> Result<()> {
    let folder = folder(cache, name);
    let names = network::namespaces(&name.prefix())?;
    let paths = names.iter().map(|name| network::namespace_path(name));
    processes::kill_all(&Belonging {
        networks: paths.filter_map(processes::namespace).collect(),
        mount: format!("upperdir={}", machine::upper(&folder.join("scratch")).display()),
    })?;
    for name in &names {
        network::remove_namespace(name)?;
    }
    node::remove_cgroup(&name.cgroup())?;
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
    }
    Ok(())
}

/// Makes one bed.
struct Maker {
    cache: Cache,
    name: BedName,
    /// Of the cluster's names.
    domain: String,
    addresses: Addresses,
}

impl Maker {
    fn make(self, existing: Option<&Existing>, report: &mut dyn Report) -> Result<Bed> {
        let folder = folder(&self.cache, &self.name);
        fs::create_dir_all(folder.join("scratch"))?;
        let programs = Programs::build(&self.cache, report)?;
        let files = Files::new(&folder);
        let node = match existing {
            None => self.cluster(&programs, &files, &folder, report)?,
            Some(existing) => self.before(existing, &programs, &files, &folder, report)?,
        };
        let mut laptops = Vec::new();
        for kind in LaptopKind::ALL {
            let layers = self.layers(kind, report)?;
            let laptop = report::step(report, &format!("laptop {kind}"), || {
                self.laptop(kind, &layers, &node, &files, &programs, &folder)
            })?;
            laptops.push(laptop);
        }
        report::step(report, "workloads ready", || match existing {
            None => node.wait_for_workloads(),
            Some(_) => node
                .wait_for_shop()
                .with_context(|| self.images_needed(&programs)),
        })?;
        let bed = Bed {
            name: self.name,
            index: self.addresses.index(),
            node,
            laptops,
            folder,
        };
        bed.save()?;
        Ok(bed)
    }

    /// A cluster of the bed's own.
    fn cluster(
        &self,
        programs: &Programs,
        files: &Files,
        folder: &Path,
        report: &mut dyn Report,
    ) -> Result<Node> {
        let busybox = packages::BUSYBOX.unpack(&self.cache, report)?;
        let archives = report::step(report, "images", || images::make(&self.cache, programs, &busybox))?;
        let layer = packages::NODE.unpack(&self.cache, report)?;
        let mut node = report::step(report, "node", || {
            files.write(&self.name.0, self.addresses, &self.name.cgroup(), &self.domain)?;
            self.node(layer, programs, files, folder)
        })?;
        report::step(report, "control plane", || {
            node.start_control_plane(self.addresses)?;
            node.start_neighbours(programs)
        })?;
        report::step(report, "load images", || node.load_images(&archives))?;
        report::step(report, "API server", || {
            node.start_cluster(self.addresses, &self.name.cgroup())
        })?;
        report::step(report, "apply workloads", || node.apply())?;
        Ok(node)
    }

    /// A node that is nothing but the way to a cluster that there is already.
    fn before(
        &self,
        existing: &Existing,
        programs: &Programs,
        files: &Files,
        folder: &Path,
        report: &mut dyn Report,
    ) -> Result<Node> {
        let found = existing.find(&programs.kube)?;
        let (bed, server) = (&self.name.0, self.addresses.api_server());
        let layer = packages::NODE.unpack(&self.cache, report)?;
        let mut node = report::step(report, "node", || {
            files.write_neighbours(self.addresses, &self.domain)?;
            files.put_kubeconfig("admin", &found.kubeconfig(bed, &server, "default", None)?)?;
            self.node(layer, programs, files, folder)
        })?;
        report::step(report, "API server", || {
            node.start_neighbours(programs)?;
            node.start_relay(programs, self.addresses, &found.address)
        })?;
        report::step(report, "apply workloads", || {
            let token = node.apply_workloads()?;
            files.put_kubeconfig(
                "developer",
                &found.kubeconfig(bed, &server, "shop", Some(&token))?,
            )?;
            files.put_kubeconfig(
                "expired",
                &found.kubeconfig(bed, &server, "shop", Some("expired"))?,
            )
        })?;
        Ok(node)
    }

    fn node(&self, layer: PathBuf, programs: &Programs, files: &Files, folder: &Path) -> Result<Node> {
        let first = [programs.echo.as_os_str(), OsStr::new("pause")];
        let machine = self.machine("node", &[layer], folder, Some(&first))?;
        network::prepare_node(&machine, self.addresses, folder)?;
        Ok(Node::new(machine, files, programs))
    }

    /// What an existing cluster cannot fetch, because it is made here.
    fn images_needed(&self, programs: &Programs) -> String {
        let archives = packages::BUSYBOX
            .unpack(&self.cache, &mut report::Silent)
            .and_then(|busybox| images::make(&self.cache, programs, &busybox))
            .unwrap_or_default();
        let archives: Vec<String> = archives.iter().map(|path| path.display().to_string()).collect();
        format!(
            "the workloads do not start in this cluster. Their images are made here; load them, as with `kind load \
             image-archive FILE` or `k3d image import FILE`: {}",
            archives.join(" ")
        )
    }

    fn layers(&self, kind: LaptopKind, report: &mut dyn Report) -> Result<Vec<PathBuf>> {
        let layers: &[Layer] = match kind {
            LaptopKind::Plain | LaptopKind::Firewall => &[packages::LAPTOP],
            LaptopKind::Resolved => &[packages::RESOLVED, packages::LAPTOP],
        };
        layers
            .iter()
            .map(|layer| layer.unpack(&self.cache, report))
            .collect()
    }

    fn laptop(
        &self,
        kind: LaptopKind,
        layers: &[PathBuf],
        node: &Node,
        files: &Files,
        programs: &Programs,
        folder: &Path,
    ) -> Result<Laptop> {
        let machine = self.machine(kind.name(), layers, folder, None)?;
        network::join(&machine, kind, &node.machine, self.addresses)?;
        let given = BedFiles {
            developer: &files.kubeconfig("developer"),
            admin: &files.kubeconfig("admin"),
            kube: &programs.kube,
        };
        laptop::furnish(&machine, kind, self.addresses, &given)?;
        let daemons = match kind {
            LaptopKind::Plain | LaptopKind::Firewall => Vec::new(),
            LaptopKind::Resolved => resolved::start(&machine, self.addresses, &files.logs())?,
        };
        Ok(Laptop {
            kind,
            machine,
            daemons,
            address: self.addresses.laptop(kind),
            node: self.addresses.node(),
            folder: folder.join("laptops").join(kind.name()),
        })
    }

    fn machine(
        &self,
        name: &str,
        layers: &[PathBuf],
        folder: &Path,
        first_process: Option<&[&OsStr]>,
    ) -> Result<Machine> {
        let mut shared = vec![self.cache.root().to_owned(), workspace()?];
        shared.extend(
            std::env::var_os("CARGO_TARGET_DIR")
                .map(PathBuf::from)
                .filter(|path| path.is_dir()),
        );
        Machine::make(Plan {
            name: &format!("{}{name}", self.name.prefix()),
            layers,
            shared: &shared,
            scratch: &folder.join("scratch"),
            logs: &Files::new(folder).logs(),
            first_process,
        })
        .with_context(|| format!("make machine {name}"))
    }
}

/// The checkout, which laptops see where it is, with what is built in it.
fn workspace() -> Result<PathBuf> {
    programs::sources()
        .ancestors()
        .nth(2)
        .map(Path::to_owned)
        .context("the crate is not in a checkout")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_would_not_fit_or_would_be_taken_for_another_is_refused() {
        for name in ["", "Default", "a-b", "a/b", "..", "sixteen0sixteen00"] {
            assert!(name.parse::<BedName>().is_err(), "{name}");
        }
        // No prefix of one bed is the beginning of another's.
        let (one, other): (BedName, BedName) = ("a".parse().unwrap(), "ab".parse().unwrap());
        assert!(!other.prefix().starts_with(&one.prefix()));
    }
}
