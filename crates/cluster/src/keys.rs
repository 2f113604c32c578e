//! The session's key on the laptop.
//!
//! The agent's pod spec, which others in the namespace may read, holds only the key's SHA-256. The key itself goes
//! in through `pods/exec` and stays on the laptop in a file of mode 0600, one per cluster, namespace and profile, so
//! that a restarted session of the same profile can take its agent over. The file goes when the agent goes.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use slipway_problem::Fault;
use thiserror::Error;
use uuid::Uuid;

/// The secret that session and agent prove to each other.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionKey([u8; Self::LENGTH]);

impl SessionKey {
    /// Length of a key in bytes.
    pub const LENGTH: usize = 32;

    /// A new key from the kernel's random numbers.
    pub fn generate() -> Result<Self, KeyError> {
        let mut key = [0; Self::LENGTH];
        getrandom::fill(&mut key).map_err(|error| KeyError::NoRandomness(error.to_string()))?;
        Ok(Self(key))
    }

    /// The key's bytes.
    pub fn as_bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }

    /// What the pod spec may show: the key's SHA-256.
    pub fn digest(&self) -> KeyDigest {
        KeyDigest(Sha256::digest(self.0).into())
    }

    pub(crate) fn to_hex(&self) -> String {
        hex(&self.0)
    }

    fn from_hex(text: &str) -> Option<Self> {
        unhex(text).map(Self)
    }
}

impl From<[u8; SessionKey::LENGTH]> for SessionKey {
    fn from(key: [u8; SessionKey::LENGTH]) -> Self {
        Self(key)
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey(..)")
    }
}

/// SHA-256 of a [`SessionKey`]; shown in hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyDigest([u8; 32]);

impl fmt::Display for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

/// Whose key it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot<'a> {
    /// The API server's address, as in [`Target::server`](crate::kubeconfig::Target::server).
    pub server: &'a str,
    /// The namespace of the agent.
    pub namespace: &'a str,
    /// The profile's identity; must not change when the profile is renamed.
    pub profile: &'a str,
}

impl Slot<'_> {
    /// File name of this slot: a digest, because addresses and names hold characters that files may not.
    fn file_name(&self) -> String {
        let mut digest = Sha256::new();
        for part in [self.server, self.namespace, self.profile] {
            digest.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            digest.update(part);
        }
        format!("{}.json", hex(&digest.finalize()[..16]))
    }
}

/// What the laptop keeps of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The session that placed the agent; its label in the cluster.
    pub session: Uuid,
    /// The key that the agent accepts.
    pub key: SessionKey,
}

/// Which agent a file of the store is about; without the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The API server's address.
    pub server: String,
    /// The namespace of the agent.
    pub namespace: String,
    /// The profile's identity.
    pub profile: String,
    /// The session that placed the agent.
    pub session: Uuid,
}

impl Owner {
    /// The slot of the file.
    pub fn slot(&self) -> Slot<'_> {
        Slot {
            server: &self.server,
            namespace: &self.namespace,
            profile: &self.profile,
        }
    }
}

/// What can go wrong with keys.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The kernel gave no random numbers.
    #[error("the system gives no random numbers: {0}")]
    NoRandomness(String),
    /// Neither `XDG_STATE_HOME` nor `HOME` says where state belongs.
    #[error("neither XDG_STATE_HOME nor HOME is set, so there is no place for the session's key")]
    NoPlace,
    /// A file or folder cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
}

impl Fault for KeyError {
    fn code(&self) -> &str {
        match self {
            Self::NoRandomness(_) => "no-randomness",
            Self::NoPlace => "state-folder-unknown",
            Self::File { .. } => "state-file",
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::NoRandomness(_) => {
                "Restart the computer; its kernel is in a state that should not happen.".to_owned()
            }
            Self::NoPlace => "Set HOME, or XDG_STATE_HOME to a folder of your own.".to_owned(),
            Self::File { path, .. } => {
                format!("Check owner, permissions and free space of {}.", path.display())
            }
        }
    }
}

/// The folder of kept keys.
#[derive(Debug, Clone)]
pub struct KeyStore {
    folder: PathBuf,
}

/// A slot's file as it is written. A file of another version is treated as absent.
#[derive(Serialize, Deserialize)]
struct File {
    version: u32,
    server: String,
    namespace: String,
    profile: String,
    session: Uuid,
    key: String,
}

const VERSION: u32 = 1;

impl KeyStore {
    /// The user's own store: `$XDG_STATE_HOME/slipway/agents`, or the same under `~/.local/state`.
    pub fn of_user() -> Result<Self, KeyError> {
        let state = std::env::var_os("XDG_STATE_HOME")
            .map(PathBuf::from)
            .filter(|path| path.is_absolute());
        let home = || std::env::var_os("HOME").filter(|home| !home.is_empty());
        let state = match state {
            Some(state) => state,
            None => PathBuf::from(home().ok_or(KeyError::NoPlace)?).join(".local/state"),
        };
        Ok(Self::at(state.join("slipway").join("agents")))
    }

    /// A store in a folder of the caller's.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    /// What is kept for a slot. A file that is not readable as ours counts as absent: the worst that follows is a
    /// new agent, while the old one ends by itself.
    pub fn load(&self, slot: &Slot<'_>) -> Result<Option<Kept>, KeyError> {
        let path = self.path(slot);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(None),
            Err(source) => return Err(KeyError::File { path, source }),
        };
        let Ok(file) = serde_json::from_str::<File>(&text) else {
            tracing::warn!(path = %path.display(), "the kept key is not readable; a new agent will be placed");
            return Ok(None);
        };
        let belongs =
            file.server == slot.server && file.namespace == slot.namespace && file.profile == slot.profile;
        if file.version != VERSION || !belongs {
            return Ok(None);
        }
        Ok(SessionKey::from_hex(&file.key).map(|key| Kept {
            session: file.session,
            key,
        }))
    }

    /// Of every agent that something is kept of, which it is. Files that are not readable as ours are left out.
    pub fn owners(&self) -> Result<Vec<Owner>, KeyError> {
        let failed = |source| KeyError::File {
            path: self.folder.clone(),
            source,
        };
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(failed(source)),
        };
        let mut owners = Vec::new();
        for entry in entries {
            let path = entry.map_err(failed)?.path();
            let file = fs::read_to_string(&path)
                .ok()
                .and_then(|text| serde_json::from_str::<File>(&text).ok())
                .filter(|file| file.version == VERSION);
            let Some(file) = file else { continue };
            let owner = Owner {
                server: file.server,
                namespace: file.namespace,
                profile: file.profile,
                session: file.session,
            };
            // One under another name is found by no session.
            if self.path(&owner.slot()) == path {
                owners.push(owner);
            }
        }
        Ok(owners)
    }

    /// Keeps a key, replacing the slot's former one. The file is complete or absent, also after a power cut.
    pub fn save(&self, slot: &Slot<'_>, kept: &Kept) -> Result<(), KeyError> {
        let path = self.path(slot);
        let file = File {
            version: VERSION,
            server: slot.server.to_owned(),
            namespace: slot.namespace.to_owned(),
            profile: slot.profile.to_owned(),
            session: kept.session,
            key: kept.key.to_hex(),
        };
        self.write(&path, &file)
            .map_err(|source| KeyError::File { path, source })
    }

    /// Forgets a slot's key. One that is not there is no error.
    pub fn forget(&self, slot: &Slot<'_>) -> Result<(), KeyError> {
        let path = self.path(slot);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(KeyError::File { path, source }),
            _ => Ok(()),
        }
    }

    fn write(&self, path: &Path, file: &File) -> io::Result<()> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)?;
        let mut draft = tempfile::Builder::new()
            .prefix(".key-")
            .permissions(fs::Permissions::from_mode(0o600))
            .tempfile_in(&self.folder)?;
        serde_json::to_writer(&mut draft, file)?;
        draft.flush()?;
        draft.as_file().sync_all()?;
        draft.persist(path).map_err(|error| error.error)?;
        fs::File::open(&self.folder)?.sync_all()
    }

    fn path(&self, slot: &Slot<'_>) -> PathBuf {
        self.folder.join(slot.file_name())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        let value = |digit: u8| {
            char::from(digit)
                .to_digit(16)
                .and_then(|value| u8::try_from(value).ok())
        };
        *byte = value(*high)? << 4 | value(*low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOT: Slot<'_> = Slot {
        server: "https://10.0.0.1:6443",
        namespace: "dev",
        profile: "shop",
    };

    fn kept() -> Kept {
        Kept {
            session: Uuid::from_u128(7),
            key: SessionKey::from([0xab; 32]),
        }
    }

    #[test]
    fn a_saved_key_is_found_again_by_a_restarted_session() {
        let folder = tempfile::tempdir().unwrap();
        let store = KeyStore::at(folder.path().join("state/slipway/agents"));
        assert_eq!(store.load(&SLOT).unwrap(), None);
        store.save(&SLOT, &kept()).unwrap();
        assert_eq!(store.load(&SLOT).unwrap(), Some(kept()));
    }

    #[test]
    fn only_the_user_may_read_a_kept_key() {
        let folder = tempfile::tempdir().unwrap();
        let store = KeyStore::at(folder.path().join("agents"));
        store.save(&SLOT, &kept()).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&store.path(&SLOT)), 0o600);
        assert_eq!(mode(&store.folder), 0o700);
    }

    #[test]
    fn another_cluster_namespace_or_profile_has_another_key() {
        let folder = tempfile::tempdir().unwrap();
        let store = KeyStore::at(folder.path());
        store.save(&SLOT, &kept()).unwrap();
        for other in [
            Slot {
                server: "https://10.0.0.2:6443",
                ..SLOT
            },
            Slot {
                namespace: "prod",
                ..SLOT
            },
            Slot {
                profile: "blog",
                ..SLOT
            },
            Slot {
                namespace: "de",
                profile: "vshop",
                ..SLOT
            },
        ] {
            assert_eq!(store.load(&other).unwrap(), None, "{other:?}");
        }
    }

    #[test]
    fn what_is_kept_can_be_listed_without_its_key() {
        let folder = tempfile::tempdir().unwrap();
        let store = KeyStore::at(folder.path().join("agents"));
        assert!(store.owners().unwrap().is_empty());
        store.save(&SLOT, &kept()).unwrap();
        fs::write(folder.path().join("agents/other.json"), "{}").unwrap();
        fs::copy(store.path(&SLOT), folder.path().join("agents/copy.json")).unwrap();
        let owners = store.owners().unwrap();
        assert_eq!(owners.len(), 1);
        assert_eq!((owners[0].slot(), owners[0].session), (SLOT, kept().session));
    }

    #[test]
    fn a_forgotten_key_is_gone_and_forgetting_twice_is_fine() {
        let folder = tempfile::tempdir().unwrap();
        let store = KeyStore::at(folder.path());
        store.save(&SLOT, &kept()).unwrap();
        store.forget(&SLOT).unwrap();
        assert_eq!(store.load(&SLOT).unwrap(), None);
        store.forget(&SLOT).unwrap();
    }

    #[test]
    fn a_damaged_file_counts_as_no_key_and_can_be_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let store = KeyStore::at(folder.path());
        for damage in [&b"{"[..], b"\xff\xfe", b"", br#"{"version":1}"#] {
            fs::write(store.path(&SLOT), damage).unwrap();
            assert_eq!(store.load(&SLOT).unwrap(), None);
        }
        store.save(&SLOT, &kept()).unwrap();
        assert_eq!(store.load(&SLOT).unwrap(), Some(kept()));
    }

    #[test]
    fn neither_debug_output_nor_the_digest_shows_the_key() {
        let key = SessionKey::from([0xab; 32]);
        assert!(!format!("{key:?}").contains("ab"));
        assert_eq!(
            SessionKey::from([0; 32]).digest().to_string(),
            "66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925"
        );
    }

    #[test]
    fn generated_keys_differ() {
        assert_ne!(SessionKey::generate().unwrap(), SessionKey::generate().unwrap());
    }
}
