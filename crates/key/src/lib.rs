//! Key: the secret that a session and its agent share.
//!
//! A session generates one for each agent that it places. The agent's pod specification, which others in the namespace
//! may read, contains only its [`Fingerprint`]; the key itself is sent through `pods/exec`, and the laptop keeps it in a
//! file of the user. Both ends prove to each other that they have it before a carrier is used.
//!
//! ```text
//! Key ── to_hex ──► key file on the laptop, standard input of the agent
//!    └── fingerprint ──► pod spec
//! ```
//!
//! This crate must not know where a key is stored or how it is proven.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

/// Length of a key, and of its fingerprint, in bytes.
pub const LENGTH: usize = 32;

/// Secret key. Its debug output does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Key([u8; LENGTH]);

/// SHA-256 of a key. Its text form is 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint([u8; LENGTH]);

/// Error: the system returned no random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system returned no random bytes")]
pub struct NoRandom;

/// Error: a text is not 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected 64 hexadecimal digits")]
pub struct NotHex;

impl Key {
    /// Generates a key from the system's random bytes.
    ///
    /// # Errors
    ///
    /// Returns [`NoRandom`] if the system returns none.
    pub fn generate() -> Result<Self, NoRandom> {
        let mut bytes = [0; LENGTH];
        getrandom::fill(&mut bytes).map_err(|_| NoRandom)?;
        Ok(Self(bytes))
    }

    /// Creates the key with these bytes.
    pub fn from_bytes(bytes: [u8; LENGTH]) -> Self {
        Self(bytes)
    }

    /// Parses a text from [`to_hex`](Self::to_hex).
    ///
    /// # Errors
    ///
    /// Returns [`NotHex`] for any other text.
    pub fn from_hex(text: &str) -> Result<Self, NotHex> {
        bytes_of(text).map(Self)
    }

    /// Returns the bytes, for proofs.
    pub fn expose(&self) -> &[u8; LENGTH] {
        &self.0
    }

    /// Returns the key as 64 hexadecimal digits, for its file and for the agent. They must stay secret.
    pub fn to_hex(&self) -> String {
        hex::encode(self.0)
    }

    /// Returns the fingerprint, which a pod's specification may contain.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint(Sha256::digest(self.0).into())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl FromStr for Fingerprint {
    type Err = NotHex;

    fn from_str(text: &str) -> Result<Self, NotHex> {
        bytes_of(text).map(Self)
    }
}

fn bytes_of(text: &str) -> Result<[u8; LENGTH], NotHex> {
    let mut bytes = [0; LENGTH];
    hex::decode_to_slice(text, &mut bytes).map_err(|_| NotHex)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_was_written() {
        let key = Key::generate().unwrap();
        assert_eq!(Key::from_hex(&key.to_hex()), Ok(key.clone()));
        let fingerprint = key.fingerprint();
        assert_eq!(fingerprint.to_string().parse(), Ok(fingerprint));
    }

    #[test]
    fn generated_keys_differ() {
        assert_ne!(Key::generate().unwrap(), Key::generate().unwrap());
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["+1".repeat(32), "zz".repeat(32), "00".into(), "0".repeat(65)] {
            assert_eq!(Key::from_hex(&text), Err(NotHex), "{text}");
        }
    }

    #[test]
    fn neither_debug_output_nor_the_fingerprint_shows_the_key() {
        assert!(!format!("{:?}", Key::from_bytes([0xab; 32])).contains("ab"));
        assert_eq!(
            Key::from_bytes([0; 32]).fingerprint().to_string(),
            "66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925"
        );
    }
}
