//! Removal of old files from the caches, in a fixed order.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context;

use super::in_use::{InUse, hash};

/// File that cargo locks while it builds in a folder.
const CARGO_LOCK: &str = ".cargo-lock";

/// Depth of artefact folders below `target`: `agent/TRIPLE/release`.
const DEPTH: usize = 4;

/// Folders with entries `NAME-VERSION`; the newest of each name stays.
const VERSIONED: [&str; 4] = ["bin", "tools", "images", "packages"];

/// A sweep: removes the files that were unused for longest, until the rest fits.
pub(super) struct Sweep<'a> {
    /// The folder of all caches.
    pub(super) root: &'a Path,
    /// Its limit, in bytes.
    pub(super) cap: u64,
    /// Files that were made since then stay.
    pub(super) since: SystemTime,
    /// Artefacts that stay.
    pub(super) in_use: &'a InUse,
}

/// Result of a sweep.
#[derive(Debug)]
pub(super) struct Swept {
    /// Bytes before the sweep.
    pub(super) before: u64,
    /// Bytes after the sweep.
    pub(super) after: u64,
    /// Folders that were skipped, because another cargo builds in them.
    pub(super) busy: Vec<PathBuf>,
}

/// Files that are removed together.
#[derive(Debug)]
struct Candidate {
    paths: Vec<PathBuf>,
    last_use: SystemTime,
    bytes: u64,
}

impl Sweep<'_> {
    /// # Errors
    ///
    /// When the caches cannot be read, or a file cannot be removed.
    pub(super) fn run(&self) -> anyhow::Result<Swept> {
        let before: u64 = parts(self.root)?.into_iter().map(|(_, bytes)| bytes).sum();
        let mut swept = Swept {
            before,
            after: before,
            busy: Vec::new(),
        };
        if before <= self.cap {
            return Ok(swept);
        }
        // Held to the end, so that no cargo starts to use files that are about to be removed.
        let mut locks = Vec::new();
        let mut artefacts = Vec::new();
        for folder in artefact_folders(&self.root.join("target"), DEPTH)? {
            match lock(&folder)? {
                Some(lock) => {
                    locks.push(lock);
                    artefacts.push(folder);
                }
                None => swept.busy.push(folder),
            }
        }
        let stages: [&dyn Fn() -> anyhow::Result<Vec<Candidate>>; 4] = [
            &|| over(&artefacts, incremental),
            &|| over(&artefacts, |folder| stale(folder, self.in_use)),
            &|| over(&[self.root.join("go-build")], go_entries),
            &|| old_versions(self.root),
        ];
        for stage in stages {
            let mut candidates = stage()?;
            candidates.retain(|candidate| candidate.last_use < self.since);
            candidates.sort_by_key(|candidate| candidate.last_use);
            for candidate in candidates {
                if swept.after <= self.cap {
                    return Ok(swept);
                }
                for path in &candidate.paths {
                    remove(path)?;
                }
                swept.after = swept.after.saturating_sub(candidate.bytes);
            }
        }
        Ok(swept)
    }
}

/// Returns the size of each part of the caches, without the mounts of running beds.
///
/// # Errors
///
/// When they cannot be read.
pub(super) fn parts(root: &Path) -> anyhow::Result<Vec<(String, u64)>> {
    let mut parts = Vec::new();
    for path in entries(root)? {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        parts.push((name, Weight::of(&path)?.bytes));
    }
    Ok(parts)
}

/// Size of a file or folder on its disk, and the time of its last use.
struct Weight {
    bytes: u64,
    last_use: SystemTime,
    /// Whether a file in it has another hard link, as the final outputs of cargo have.
    is_shared: bool,
}

impl Weight {
    fn of(path: &Path) -> anyhow::Result<Weight> {
        let mut weight = Weight {
            bytes: 0,
            last_use: SystemTime::UNIX_EPOCH,
            is_shared: false,
        };
        if let Some(metadata) = look(path)? {
            weight.add(path, &metadata, metadata.dev(), &mut BTreeSet::new())?;
        }
        Ok(weight)
    }

    fn add(
        &mut self,
        path: &Path,
        metadata: &Metadata,
        device: u64,
        counted: &mut BTreeSet<u64>,
    ) -> anyhow::Result<()> {
        if metadata.dev() != device || !counted.insert(metadata.ino()) {
            return Ok(());
        }
        /// The unit of `st_blocks` (stat(2)).
        const BLOCK: u64 = 512;
        self.bytes += metadata.blocks() * BLOCK;
        if !metadata.is_dir() {
            self.is_shared |= metadata.nlink() > 1;
            self.last_use = self.last_use.max(last_use(metadata));
            return Ok(());
        }
        for entry in entries(path)? {
            if let Some(metadata) = look(&entry)? {
                self.add(&entry, &metadata, device, counted)?;
            }
        }
        Ok(())
    }
}

/// Returns the time of the last use; on a file system without access times, of the last change.
fn last_use(metadata: &Metadata) -> SystemTime {
    let times = [metadata.accessed(), metadata.modified()];
    times
        .into_iter()
        .flatten()
        .max()
        .unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Returns the folders with cargo's artefacts.
fn artefact_folders(folder: &Path, depth: usize) -> anyhow::Result<Vec<PathBuf>> {
    if folder.join(".fingerprint").is_dir() {
        return Ok(vec![folder.to_owned()]);
    }
    let mut found = Vec::new();
    for entry in entries(folder)? {
        let is_folder = look(&entry)?.is_some_and(|metadata| metadata.is_dir());
        if is_folder && depth > 1 {
            found.extend(artefact_folders(&entry, depth - 1)?);
        }
    }
    Ok(found)
}

/// Takes cargo's lock of a folder; `None` if another process has it.
fn lock(folder: &Path) -> anyhow::Result<Option<File>> {
    let path = folder.join(CARGO_LOCK);
    let file = File::options()
        .create(true)
        .append(true)
        .open(&path)
        .with_context(|| format!("Failed to open {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(fs::TryLockError::WouldBlock) => Ok(None),
        Err(fs::TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("Failed to lock {}", path.display()))
        }
    }
}

fn over(
    folders: &[PathBuf],
    of: impl Fn(&Path) -> anyhow::Result<Vec<Candidate>>,
) -> anyhow::Result<Vec<Candidate>> {
    let candidates: Result<Vec<_>, _> = folders.iter().map(|folder| of(folder)).collect();
    Ok(candidates?.into_iter().flatten().collect())
}

/// Returns the incremental state of crates. Without it a crate is compiled completely once.
fn incremental(folder: &Path) -> anyhow::Result<Vec<Candidate>> {
    let crates = entries(&folder.join("incremental"))?;
    crates.into_iter().map(Candidate::whole).collect()
}

/// Returns artefacts that the last run did not use: of older versions, other features, other profiles.
fn stale(folder: &Path, in_use: &InUse) -> anyhow::Result<Vec<Candidate>> {
    let mut groups: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for kind in [".fingerprint", "build", "deps", "examples"] {
        for path in entries(&folder.join(kind))? {
            let name = path.file_name().and_then(|name| name.to_str());
            if let Some(hash) = name.and_then(hash) {
                groups.entry(hash.to_owned()).or_default().push(path);
            }
        }
    }
    let mut candidates = Vec::new();
    for (hash, paths) in groups {
        if in_use.contains(&hash) {
            continue;
        }
        if let Some(candidate) = Candidate::unshared(paths)? {
            candidates.push(candidate);
        }
    }
    Ok(candidates)
}

/// Returns the files of Go's build cache. Go stores the time of their last use as the time of their last change.
fn go_entries(folder: &Path) -> anyhow::Result<Vec<Candidate>> {
    let mut candidates = Vec::new();
    for part in entries(folder)? {
        // 256 folders with two digits; the other files are Go's own records.
        let is_part = part.file_name().is_some_and(|name| name.len() == 2);
        if !is_part {
            continue;
        }
        for path in entries(&part)? {
            let Some(metadata) = look(&path)? else { continue };
            candidates.push(Candidate {
                last_use: metadata.modified()?,
                bytes: metadata.blocks() * 512,
                paths: vec![path],
            });
        }
    }
    Ok(candidates)
}

/// Returns all but the newest version of each name, except for those that a running bed uses.
fn old_versions(root: &Path) -> anyhow::Result<Vec<Candidate>> {
    let mut beds = String::new();
    for bed in entries(&root.join("bed"))? {
        beds += &fs::read_to_string(bed.join("bed.json")).unwrap_or_default();
    }
    let mut candidates = Vec::new();
    for kind in VERSIONED {
        let mut names: BTreeMap<String, Vec<(SystemTime, PathBuf)>> = BTreeMap::new();
        for path in entries(&root.join(kind))? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            // A name with a dot is an unfinished build.
            let Some((name, _version)) = name.rsplit_once('-').filter(|(name, _)| !name.starts_with('.'))
            else {
                continue;
            };
            let made = fs::metadata(&path)?.modified()?;
            names.entry(name.to_owned()).or_default().push((made, path));
        }
        for mut versions in names.into_values() {
            versions.sort();
            versions.pop();
            for (_made, path) in versions {
                if !beds.contains(&*path.to_string_lossy()) {
                    candidates.push(Candidate::whole(path)?);
                }
            }
        }
    }
    Ok(candidates)
}

impl Candidate {
    fn whole(path: PathBuf) -> anyhow::Result<Candidate> {
        let Weight { bytes, last_use, .. } = Weight::of(&path)?;
        Ok(Candidate {
            paths: vec![path],
            last_use,
            bytes,
        })
    }

    /// Groups files that are removed together; `None` if one of them is a final output of cargo.
    fn unshared(paths: Vec<PathBuf>) -> anyhow::Result<Option<Candidate>> {
        let mut candidate = Candidate {
            paths: Vec::new(),
            last_use: SystemTime::UNIX_EPOCH,
            bytes: 0,
        };
        for path in paths {
            let weight = Weight::of(&path)?;
            if weight.is_shared {
                return Ok(None);
            }
            candidate.bytes += weight.bytes;
            candidate.last_use = candidate.last_use.max(weight.last_use);
            candidate.paths.push(path);
        }
        Ok(Some(candidate))
    }
}

/// Returns the entries of a folder; empty if it does not exist.
fn entries(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let listed = match fs::read_dir(folder) {
        Ok(listed) => listed,
        Err(error) if is_gone(&error) => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("Failed to read {}", folder.display())),
    };
    let mut paths = listed
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

/// Returns the metadata of a file; `None` if another process has removed it.
fn look(path: &Path) -> anyhow::Result<Option<Metadata>> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if is_gone(&error) => Ok(None),
        Err(error) => Err(error).with_context(|| format!("Failed to look at {}", path.display())),
    }
}

fn is_gone(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
    )
}

fn remove(path: &Path) -> anyhow::Result<()> {
    let removed = match look(path)? {
        None => return Ok(()),
        Some(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Some(_) => fs::remove_file(path),
    };
    removed.with_context(|| format!("Failed to remove {}", path.display()))
}

#[cfg(test)]
mod tests;
