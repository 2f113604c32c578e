//! Control group of a bed, in which the kubelet of its node keeps the pods.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context, Result, anyhow, ensure};

use crate::processes;

/// Mount point of control groups, of both versions.
const CGROUPS: &str = "/sys/fs/cgroup";

/// Returns the roots of all hierarchies: one for each controller in version 1, one in version 2.
fn hierarchies() -> Result<Vec<PathBuf>> {
    let root = Path::new(CGROUPS);
    if root.join("cgroup.procs").exists() {
        return Ok(vec![root.to_owned()]);
    }
    let mut roots = Vec::new();
    for entry in fs::read_dir(root).context("read the control groups")? {
        let path = entry?.path();
        if path.join("cgroup.procs").exists() && !path.is_symlink() {
            roots.push(path);
        }
    }
    ensure!(!roots.is_empty(), "{CGROUPS} has no control groups");
    Ok(roots)
}

/// Creates the kubelet's root group in every hierarchy.
pub(super) fn make_cgroup(name: &str) -> Result<()> {
    for root in hierarchies()? {
        let group = root.join(name);
        fs::create_dir_all(&group)?;
        // Version 1 leaves these empty, and allows no process in such a group.
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if root.join(file).exists() {
                fs::write(group.join(file), fs::read(root.join(file))?)
                    .with_context(|| format!("fill {file} of {}", group.display()))?;
            }
        }
    }
    Ok(())
}

/// Removes a group and those below in every hierarchy. Their processes have been killed.
pub(crate) fn remove_cgroup(name: &str) -> Result<()> {
    for root in hierarchies()? {
        let group = root.join(name);
        let mut tries = 0;
        // A group stays busy for a moment after its last process.
        while let Err(error) = remove_groups(&group) {
            tries += 1;
            ensure!(
                tries < 100,
                anyhow!(error).context(format!("remove {}", group.display()))
            );
            thread::sleep(processes::POLL);
        }
    }
    Ok(())
}

fn remove_groups(group: &Path) -> std::io::Result<()> {
    if !group.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(group)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_groups(&entry.path())?;
        }
    }
    fs::remove_dir(group)
}
