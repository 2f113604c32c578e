//! Removal of a bed, also of an incomplete one.

use std::fs;

use anyhow::{Context, Result};

use super::BedName;
use super::records::folder;
use crate::cache::Cache;
use crate::processes::{self, Belonging};
use crate::{machine, namespace, node};

/// Ends and removes everything of a bed. It is found by its names, because a crash leaves records incomplete.
pub(super) fn clear(cache: &Cache, name: &BedName) -> Result<()> {
    let folder = folder(cache, name);
    let names = namespace::all(&name.prefix())?;
    let paths = names.iter().map(|name| namespace::path(name));
    processes::kill_all(&Belonging {
        networks: paths.filter_map(processes::namespace).collect(),
        mount: format!("upperdir={}", machine::upper(&folder.join("scratch")).display()),
    })?;
    for name in &names {
        namespace::remove(name)?;
    }
    node::remove_cgroup(&name.cgroup())?;
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
    }
    Ok(())
}
