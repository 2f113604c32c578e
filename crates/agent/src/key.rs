//! Key of the session, from the file of the upload.

use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};
use slipway_key::{Fingerprint, Key};

/// Reads the key from its file and removes the file, so that only this process has the key.
///
/// # Errors
///
/// Returns an error when there is no key, or when it does not match the pod's fingerprint.
pub(crate) fn take(dir: &Path, expected: &Fingerprint) -> anyhow::Result<Key> {
    let path = dir.join("key");
    let text = fs::read_to_string(&path).with_context(|| format!("Failed to read {}", path.display()))?;
    fs::remove_file(&path).with_context(|| format!("Failed to remove {}", path.display()))?;
    let key = Key::from_hex(text.trim_end())?;
    ensure!(
        key.fingerprint() == *expected,
        "The key does not match the fingerprint in the pod's specification"
    );
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_taken_once() {
        let dir = tempfile::tempdir().unwrap();
        let key = Key::from_bytes([9; 32]);
        fs::write(dir.path().join("key"), key.to_hex() + "\n").unwrap();
        let expected = key.fingerprint();
        assert_eq!(take(dir.path(), &expected).unwrap(), key);
        assert!(take(dir.path(), &expected).is_err(), "no other process finds it");
    }

    #[test]
    fn a_key_other_than_the_pods_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("key"), Key::from_bytes([8; 32]).to_hex()).unwrap();
        let expected = Key::from_bytes([9; 32]).fingerprint();
        assert!(take(dir.path(), &expected).is_err());
    }
}
