//! Artefacts that a build uses, from cargo's messages, because access times are too coarse.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::Context;
use serde_json::Value;

/// File in which they are saved, beside the caches.
const FILE: &str = "in-use";

/// Artefacts, by the hash in their names.
#[derive(Debug, Default)]
pub(crate) struct InUse(BTreeSet<String>);

impl InUse {
    /// Loads the saved artefacts; empty if there are none.
    pub(crate) fn load(root: &Path) -> InUse {
        let text = fs::read_to_string(root.join(FILE)).unwrap_or_default();
        InUse(text.lines().map(str::to_owned).collect())
    }

    /// Saves the artefacts.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub(crate) fn save(&self, root: &Path) -> anyhow::Result<()> {
        let text: String = self.0.iter().map(|hash| format!("{hash}\n")).collect();
        fs::create_dir_all(root)?;
        fs::write(root.join(FILE), text).context("Failed to save which artefacts are in use")
    }

    /// Adds the artefacts of one of cargo's messages, built or fresh.
    pub(crate) fn note(&mut self, message: &Value) {
        let files = message["filenames"].as_array().into_iter().flatten();
        let paths = files.chain([&message["out_dir"], &message["executable"]]);
        for path in paths.filter_map(Value::as_str) {
            let names = Path::new(path).iter().filter_map(|name| name.to_str());
            self.0.extend(names.filter_map(hash).map(str::to_owned));
        }
    }

    pub(crate) fn contains(&self, hash: &str) -> bool {
        self.0.contains(hash)
    }
}

/// Returns the hash in a name such as `libserde-0123456789abcdef.rlib`.
pub(crate) fn hash(name: &str) -> Option<&str> {
    name.split('-').skip(1).find_map(|part| {
        let hash = part.split('.').next().unwrap_or(part);
        let is_hash = hash.len() == 16 && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        is_hash.then_some(hash)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn artefacts_are_identified_by_the_hash_in_their_name() {
        for name in [
            "libserde-0123456789abcdef.rlib",
            "serde-0123456789abcdef",
            "serde-0123456789abcdef.1x2y3z-cgu.0.rcgu.o",
        ] {
            assert_eq!(hash(name), Some("0123456789abcdef"), "{name}");
        }
        for name in [
            "slipway",
            "libslipway_names.rlib",
            "serde-0123456789ABCDEF",
            "a-b",
        ] {
            assert_eq!(hash(name), None, "{name}");
        }
    }

    #[test]
    fn fresh_artefacts_are_in_use_and_saved() {
        let mut in_use = InUse::default();
        in_use.note(&json!({
            "reason": "compiler-artifact", "fresh": true, "executable": null,
            "filenames": ["/t/debug/deps/libserde-0123456789abcdef.rlib"],
        }));
        in_use.note(&json!({"reason": "build-script-executed", "out_dir": "/t/debug/build/libc-00112233445566aa/out"}));
        in_use.note(&json!({"reason": "build-finished", "success": true}));
        let folder = tempfile::tempdir().expect("a folder");
        in_use.save(folder.path()).expect("saved");
        let loaded = InUse::load(folder.path());
        assert!(loaded.contains("0123456789abcdef") && loaded.contains("00112233445566aa"));
        assert_eq!(loaded.0.len(), 2);
    }
}
