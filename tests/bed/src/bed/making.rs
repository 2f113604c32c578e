//! Creation of a bed: programs and layers, the node with its cluster or with a relay to another, then the laptops.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::records::folder;
use super::{Bed, BedName};
use crate::cache::Cache;
use crate::existing::Existing;
use crate::laptop::{self, BedFiles, Laptop};
use crate::laptop_kind::LaptopKind;
use crate::machine::{Machine, Plan};
use crate::node::{Files, Node};
use crate::packages::{self, Layer};
use crate::programs::{self, Programs};
use crate::report::{self, Report};
use crate::{Addresses, images, network, resolved};

/// Creation of one bed.
pub(super) struct Maker {
    pub(super) cache: Cache,
    pub(super) name: BedName,
    /// Domain of the cluster's names.
    pub(super) domain: String,
    pub(super) addresses: Addresses,
}

impl Maker {
    pub(super) fn make(self, existing: Option<&Existing>, report: &mut dyn Report) -> Result<Bed> {
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

    /// Creates the bed's own cluster.
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
            files.write(
                self.name.as_str(),
                self.addresses,
                &self.name.cgroup(),
                &self.domain,
            )?;
            self.node(layer, programs, files, folder)
        })?;
        report::step(report, "control plane", || {
            node.start_control_plane(self.addresses)?;
            node.start_neighbors(programs)
        })?;
        report::step(report, "load images", || node.load_images(&archives))?;
        report::step(report, "API server", || {
            node.start_cluster(self.addresses, &self.name.cgroup())
        })?;
        report::step(report, "apply workloads", || node.apply())?;
        Ok(node)
    }

    /// Creates a node that is only a relay to an existing cluster.
    fn before(
        &self,
        existing: &Existing,
        programs: &Programs,
        files: &Files,
        folder: &Path,
        report: &mut dyn Report,
    ) -> Result<Node> {
        let found = existing.find(&programs.kube)?;
        let (bed, server) = (self.name.as_str(), self.addresses.api_server());
        let layer = packages::NODE.unpack(&self.cache, report)?;
        let mut node = report::step(report, "node", || {
            files.write_neighbors(self.addresses, &self.domain)?;
            files.put_kubeconfig("admin", &found.kubeconfig(bed, &server, "default", None)?)?;
            self.node(layer, programs, files, folder)
        })?;
        report::step(report, "API server", || {
            node.start_neighbors(programs)?;
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

    /// Returns the note about images that an existing cluster cannot pull, because they are built here.
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
            LaptopKind::Plain | LaptopKind::Firewall | LaptopKind::Bare => &[packages::LAPTOP],
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
            LaptopKind::Plain | LaptopKind::Firewall | LaptopKind::Bare => Vec::new(),
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

/// Returns the checkout, which laptops see at the same path, with its built programs.
fn workspace() -> Result<PathBuf> {
    programs::sources()
        .ancestors()
        .nth(2)
        .map(Path::to_owned)
        .context("the crate is not in a checkout")
}
