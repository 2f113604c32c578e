//! The session's key, as it was handed in.

use std::fs;
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, ensure};
use slipway_tunnel::Key;

/// SHA-256 of a key, as it stands in the pod's specification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint([u8; 32]);

impl FromStr for Fingerprint {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Fingerprint> {
        Ok(Fingerprint(from_hex(text)?))
    }
}

/// Reads the key from its file and removes the file: from then on it is in this process only.
///
/// # Errors
///
/// When there is no key, or it is not the one that the pod was made for.
pub(crate) fn take(dir: &Path, expected: &Fingerprint) -> anyhow::Result<Key> {
    let path = dir.join("key");
    let text = fs::read_to_string(&path).with_context(|| format!("Failed to read {}", path.display()))?;
    fs::remove_file(&path).with_context(|| format!("Failed to remove {}", path.display()))?;
    let key = Key::from_bytes(from_hex(text.trim_end())?);
    ensure!(
        key.fingerprint() == expected.0,
        "The key is not the one that this pod was made for"
    );
    Ok(key)
}

fn from_hex(text: &str) -> anyhow::Result<[u8; 32]> {
    let digits = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    ensure!(text.len() == 64 && digits, "Expected 64 hexadecimal digits");
    let mut bytes = [0; 32];
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        let digits = str::from_utf8(digits).context("Expected hexadecimal digits")?;
        *byte = u8::from_str_radix(digits, 16).context("Expected hexadecimal digits")?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn the_key_is_taken_once() {
        let dir = tempfile::tempdir().unwrap();
        let key = Key::from_bytes([9; 32]);
        fs::write(dir.path().join("key"), hex(key.expose()) + "\n").unwrap();
        let expected = hex(&key.fingerprint()).parse().unwrap();
        assert_eq!(take(dir.path(), &expected).unwrap().expose(), key.expose());
        assert!(take(dir.path(), &expected).is_err(), "nobody else finds it");
    }

    #[test]
    fn another_key_than_the_pods_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("key"), hex(&[8; 32])).unwrap();
        let expected = hex(&Key::from_bytes([9; 32]).fingerprint()).parse().unwrap();
        assert!(take(dir.path(), &expected).is_err());
    }

    #[test]
    fn digits_that_are_none_are_refused() {
        assert!("+1".repeat(32).parse::<Fingerprint>().is_err());
        assert!("zz".repeat(32).parse::<Fingerprint>().is_err());
        assert!("00".parse::<Fingerprint>().is_err());
    }
}
