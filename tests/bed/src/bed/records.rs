//! What is written down of a bed, in a folder of its own: that it is there, and which index it has.

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

/// Where everything of a bed lies.
pub(super) fn folder(cache: &Cache, name: &BedName) -> PathBuf {
    cache.beds().join(name.as_str())
}

/// One `up` or `down` at a time; the lock lies outside the folder that `down` removes.
pub(super) fn lock(cache: &Cache, name: &BedName) -> Result<File> {
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
