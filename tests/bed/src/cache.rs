//! Cache of the bed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

/// The folder `${XDG_CACHE_HOME:-~/.cache}/slipway`, with builds, unpacked packages, images and running beds.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    root: PathBuf,
}

impl Cache {
    pub(crate) fn of_user() -> Result<Self> {
        let from_xdg = std::env::var_os("XDG_CACHE_HOME")
            .filter(|value| !value.is_empty())
            .map(PathBuf::from);
        let root = match from_xdg {
            Some(folder) => folder,
            None => {
                PathBuf::from(std::env::var_os("HOME").context("neither XDG_CACHE_HOME nor HOME is set")?)
                    .join(".cache")
            }
        };
        Ok(Self {
            root: root.join("slipway"),
        })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Folder of the state of all beds.
    pub(crate) fn beds(&self) -> PathBuf {
        self.root.join("bed")
    }

    /// Creates `KIND/NAME-KEY` with `make` unless it exists. `make` fills a folder beside it, which gets the final name only
    /// when complete, so that an interrupted build is never used.
    pub(crate) fn keyed(
        &self,
        kind: &str,
        name: &str,
        key: &Key,
        make: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<PathBuf> {
        let folder = self.root.join(kind).join(format!("{name}-{}", key.short()));
        if folder.is_dir() {
            return Ok(folder);
        }
        let begun = self.root.join(kind).join(format!(".{name}-{}", key.short()));
        fs::create_dir_all(self.root.join(kind))?;
        // Of several beds that start at the same time, one builds and the others wait.
        let lock = fs::File::create(begun.with_extension("lock"))?;
        lock.lock().with_context(|| format!("wait for another {name}"))?;
        if folder.is_dir() {
            return Ok(folder);
        }
        let unfinished = begun.with_extension("unfinished");
        if unfinished.is_dir() {
            // Left by an interrupted run.
            fs::remove_dir_all(&unfinished)?;
        }
        fs::create_dir_all(&unfinished).with_context(|| format!("make {}", unfinished.display()))?;
        let made = make(&unfinished).and_then(|()| {
            fs::rename(&unfinished, &folder).with_context(|| format!("rename to {}", folder.display()))
        });
        if unfinished.is_dir() {
            fs::remove_dir_all(&unfinished).with_context(|| format!("remove {}", unfinished.display()))?;
        }
        made.map(|()| folder)
    }
}

/// Key of a cached folder: a digest of its inputs.
#[derive(Default)]
pub(crate) struct Key(Sha256);

impl Key {
    /// Adds an input with its length, so that two inputs differ from one joined input.
    pub(crate) fn add(mut self, input: impl AsRef<[u8]>) -> Self {
        let input = input.as_ref();
        self.0.update((input.len() as u64).to_be_bytes());
        self.0.update(input);
        self
    }

    /// Adds names and contents of the files directly in `folder`.
    pub(crate) fn add_files(mut self, folder: &Path) -> Result<Self> {
        let mut files = fs::read_dir(folder)
            .and_then(|entries| {
                entries
                    .map(|entry| entry.map(|e| e.path()))
                    .collect::<Result<Vec<_>, _>>()
            })
            .with_context(|| format!("read {}", folder.display()))?;
        files.sort();
        for file in files {
            let content = fs::read(&file).with_context(|| format!("read {}", file.display()))?;
            self = self
                .add(file.file_name().unwrap_or_default().as_encoded_bytes())
                .add(content);
        }
        Ok(self)
    }

    fn short(&self) -> String {
        self.0
            .clone()
            .finalize()
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_that_join_to_equal_bytes_have_different_keys() {
        let one = Key::default().add("ab").add("c").short();
        let other = Key::default().add("a").add("bc").short();
        assert_ne!(one, other);
        assert_eq!(one, Key::default().add("ab").add("c").short());
    }
}
