//! Records of a bed, in its folder: its state and its index.

use std::collections::BTreeSet;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::{Bed, BedName};
use crate::Addresses;
use crate::cache::Cache;

const STATE: &str = "bed.json";

impl Bed {
    pub(super) fn load(cache: &Cache, name: &BedName) -> Result<Self> {
        let text = fs::read_to_string(folder(cache, name).join(STATE))?;
        serde_json::from_str(&text).context("the bed's state was written by another version")
    }

    pub(super) fn save(&self) -> Result<()> {
        let unfinished = self.folder.join(".state");
        fs::write(&unfinished, serde_json::to_vec_pretty(self)?)?;
        fs::rename(unfinished, self.folder.join(STATE)).context("write the bed's state")
    }
}

/// Folder of a bed.
pub(super) fn folder(cache: &Cache, name: &BedName) -> PathBuf {
    cache.beds().join(name.as_str())
}

/// Locks a bed for one `up` or `down` at a time. The lock is outside the folder that `down` removes.
pub(super) fn lock(cache: &Cache, name: &BedName) -> Result<File> {
    fs::create_dir_all(cache.beds())?;
    fs::set_permissions(cache.beds(), Permissions::from_mode(0o700))?;
    let file = File::create(cache.beds().join(format!(".{name}.lock")))?;
    file.lock().context("wait for another up or down")?;
    Ok(file)
}

/// File of a bed's index, written before the index is used.
const INDEX: &str = "index";

/// Takes the lowest index that no other bed has. 0 is reserved for the default bed, so that its addresses never change.
pub(super) fn take_index(cache: &Cache, name: &BedName) -> Result<u8> {
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
