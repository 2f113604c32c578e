//! Keys of agents, stored on the laptop.
//!
//! Each key is in a file of mode 0600, one for each [`AgentIdentity`], so that a restarted session of the same profile
//! can use its agent again. The file is removed with the agent.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use slipway_key::{Key, NoRandom};
use slipway_problem::Fault;
use slipway_profile::{AgentSettings, AnnotationValue, LabelValue, MetadataKey, ObjectName, ProfileId};
use thiserror::Error;
use uuid::Uuid;

/// Identity of an agent that a later session may use: an agent for the same profile, in the same place, and of the same
/// kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct AgentIdentity {
    /// Address of the API server, as in `Target::server` of `slipway-api-server`.
    pub server: String,
    /// Namespace of the agent.
    pub namespace: String,
    /// Saved profile of the sessions; `None` for sessions without one.
    pub profile: Option<ProfileId>,
    /// Image of the agent.
    pub image: String,
    /// Grace in seconds: how long the agent waits for a client that went away.
    pub grace_seconds: u64,
    /// Settings of its pod that others in the cluster see, such as network policies and meshes.
    #[serde(default, skip_serializing_if = "PodIdentity::is_default")]
    pub pod: PodIdentity,
}

/// Settings by which an agent's pod differs for the cluster. How its image is fetched and which taints it tolerates does
/// not matter once it runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct PodIdentity {
    labels: BTreeMap<MetadataKey, LabelValue>,
    annotations: BTreeMap<MetadataKey, AnnotationValue>,
    node_selector: BTreeMap<MetadataKey, LabelValue>,
    service_account: Option<ObjectName>,
}

impl PodIdentity {
    /// Returns the part of a profile's settings that makes another agent necessary.
    #[must_use]
    pub fn of(settings: &AgentSettings) -> Self {
        Self {
            labels: settings.labels.clone(),
            annotations: settings.annotations.clone(),
            node_selector: settings.node_selector.clone(),
            service_account: settings.service_account.clone(),
        }
    }

    fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Returns it as parts of a digest; none for the usual pod.
    fn parts(&self) -> Vec<String> {
        let Self {
            labels,
            annotations,
            node_selector,
            service_account,
        } = self;
        let labels = labels.iter().map(|(key, value)| format!("label {key}={value}"));
        let annotations = annotations
            .iter()
            .map(|(key, value)| format!("annotation {key}={value}"));
        let nodes = node_selector
            .iter()
            .map(|(key, value)| format!("node {key}={value}"));
        let account = service_account.iter().map(|name| format!("account {name}"));
        labels.chain(annotations).chain(nodes).chain(account).collect()
    }
}

impl AgentIdentity {
    /// Returns the file name of this agent's key: a digest, because addresses and names may contain characters that file
    /// names may not.
    fn file_name(&self) -> String {
        let Self {
            server,
            namespace,
            profile,
            image,
            grace_seconds,
            pod,
        } = self;
        let profile = profile.map(|id| id.to_string()).unwrap_or_default();
        let mut digest = Sha256::new();
        let (grace, pod) = (grace_seconds.to_string(), pod.parts());
        for part in [server, namespace, &profile, image, &grace]
            .into_iter()
            .chain(&pod)
        {
            digest.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            digest.update(part);
        }
        format!("{}.json", hex::encode(&digest.finalize()[..16]))
    }
}

/// Data that the laptop keeps of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The session that placed the agent, as in the agent's label in the cluster.
    pub session: Uuid,
    /// The key that the agent accepts.
    pub key: Key,
}

/// Error of creating or storing a key.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The kernel returned no random numbers.
    #[error(transparent)]
    NoRandomness(#[from] NoRandom),
    /// Neither `XDG_STATE_HOME` nor `HOME` names a folder for state.
    #[error("neither XDG_STATE_HOME nor HOME is set, so the session's key cannot be stored")]
    NoPlace,
    /// A file or folder cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// Error of the kernel.
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
            Self::NoRandomness(_) => "Restart the computer; its kernel returns no random numbers.".to_owned(),
            Self::NoPlace => "Set HOME, or XDG_STATE_HOME to a folder that you own.".to_owned(),
            Self::File { path, .. } => {
                format!(
                    "Check that you own {} and that its disk has free space.",
                    path.display()
                )
            }
        }
    }
}

/// Folder of kept keys.
#[derive(Debug, Clone)]
pub struct KeyStore {
    folder: PathBuf,
}

/// File of a key. A file of another version counts as absent.
#[derive(Serialize, Deserialize)]
struct File {
    version: u32,
    agent: AgentIdentity,
    session: Uuid,
    key: String,
}

const VERSION: u32 = 2;

impl KeyStore {
    /// Returns the user's store: `$XDG_STATE_HOME/slipway/agents`, or the same under `~/.local/state`.
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

    /// Returns a store in the given folder.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    /// Loads the data of an agent. A file that cannot be parsed counts as absent: then the session starts a new agent, and
    /// the old one ends by itself.
    ///
    /// # Errors
    ///
    /// Returns [`KeyError::File`] if the file exists but cannot be read.
    pub fn load(&self, agent: &AgentIdentity) -> Result<Option<Kept>, KeyError> {
        let path = self.path(agent);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Ok(None),
            Err(source) => return Err(KeyError::File { path, source }),
        };
        let Ok(file) = serde_json::from_str::<File>(&text) else {
            tracing::warn!(path = %path.display(), "cannot parse the kept key; a new agent will be placed");
            return Ok(None);
        };
        if file.version != VERSION || file.agent != *agent {
            return Ok(None);
        }
        Ok(Key::from_hex(&file.key).ok().map(|key| Kept {
            session: file.session,
            key,
        }))
    }

    /// Lists every agent with kept data, and the session that placed it. Files that cannot be parsed are left out.
    ///
    /// # Errors
    ///
    /// Returns [`KeyError::File`] if the folder cannot be read.
    pub fn agents(&self) -> Result<Vec<(AgentIdentity, Uuid)>, KeyError> {
        let failed = |source| KeyError::File {
            path: self.folder.clone(),
            source,
        };
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(failed(source)),
        };
        let mut agents = Vec::new();
        for entry in entries {
            let path = entry.map_err(failed)?.path();
            let file = fs::read_to_string(&path)
                .ok()
                .and_then(|text| serde_json::from_str::<File>(&text).ok())
                .filter(|file| file.version == VERSION);
            let Some(file) = file else { continue };
            // No session looks for a file under another name.
            if self.path(&file.agent) == path {
                agents.push((file.agent, file.session));
            }
        }
        Ok(agents)
    }

    /// Stores a key, replacing the agent's former one. The file is complete or absent, even after a power cut.
    ///
    /// # Errors
    ///
    /// Returns [`KeyError::File`] if the file cannot be written.
    pub fn save(&self, agent: &AgentIdentity, kept: &Kept) -> Result<(), KeyError> {
        let path = self.path(agent);
        let file = File {
            version: VERSION,
            agent: agent.clone(),
            session: kept.session,
            key: kept.key.to_hex(),
        };
        self.write(&path, &file)
            .map_err(|source| KeyError::File { path, source })
    }

    /// Removes an agent's key. A missing file is no error.
    ///
    /// # Errors
    ///
    /// Returns [`KeyError::File`] if the file cannot be removed.
    pub fn forget(&self, agent: &AgentIdentity) -> Result<(), KeyError> {
        let path = self.path(agent);
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

    fn path(&self, agent: &AgentIdentity) -> PathBuf {
        self.folder.join(agent.file_name())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn agent() -> AgentIdentity {
        AgentIdentity {
            server: "https://10.0.0.1:6443".to_owned(),
            namespace: "dev".to_owned(),
            profile: Some(ProfileId::of_name(&"shop".parse().unwrap())),
            image: "busybox".to_owned(),
            grace_seconds: 90,
            pod: PodIdentity::default(),
        }
    }

    fn key() -> MetadataKey {
        "team".parse().unwrap()
    }

    fn pod(change: fn(&mut AgentSettings)) -> PodIdentity {
        let mut settings = AgentSettings::default();
        change(&mut settings);
        PodIdentity::of(&settings)
    }

    fn kept() -> Kept {
        Kept {
            session: Uuid::from_u128(7),
            key: Key::from_bytes([0xab; 32]),
        }
    }

    #[test]
    fn a_saved_key_is_found_again_by_a_restarted_session() {
        let folder = tempfile::tempdir().unwrap();
        let store = KeyStore::at(folder.path().join("state/slipway/agents"));
        assert_eq!(store.load(&agent()).unwrap(), None);
        store.save(&agent(), &kept()).unwrap();
        assert_eq!(store.load(&agent()).unwrap(), Some(kept()));
    }

    #[test]
    fn only_the_user_may_read_a_kept_key() {
        let folder = tempfile::tempdir().unwrap();
        let store = KeyStore::at(folder.path().join("agents"));
        store.save(&agent(), &kept()).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&store.path(&agent())), 0o600);
        assert_eq!(mode(&store.folder), 0o700);
    }

    #[test]
    fn another_place_profile_or_kind_has_another_key() {
        let folder = tempfile::tempdir().unwrap();
        let store = KeyStore::at(folder.path());
        store.save(&agent(), &kept()).unwrap();
        let changes: [fn(&mut AgentIdentity); 8] = [
            |other| other.server = "https://10.0.0.2:6443".to_owned(),
            |other| other.namespace = "prod".to_owned(),
            |other| other.profile = Some(ProfileId::random()),
            |other| other.profile = None,
            |other| other.image = "alpine".to_owned(),
            |other| other.grace_seconds = 60,
            |other| other.pod = pod(|settings| _ = settings.labels.insert(key(), "shop".parse().unwrap())),
            |other| other.pod = pod(|settings| settings.service_account = Some("tunnel".parse().unwrap())),
        ];
        for change in changes {
            let mut other = agent();
            change(&mut other);
            assert_eq!(store.load(&other).unwrap(), None, "{other:?}");
        }
    }

    #[test]
    fn each_setting_that_the_cluster_sees_is_part_of_the_identity() {
        let usual = PodIdentity::default();
        let changes: [fn(&mut AgentSettings); 3] = [
            |settings| _ = settings.annotations.insert(key(), "shop".parse().unwrap()),
            |settings| _ = settings.node_selector.insert(key(), "shop".parse().unwrap()),
            |settings| _ = settings.labels.insert(key(), "shop".parse().unwrap()),
        ];
        let mut names = BTreeSet::from([agent().file_name()]);
        for change in changes {
            let mut other = agent();
            other.pod = pod(change);
            assert_ne!(other.pod, usual);
            names.insert(other.file_name());
        }
        assert_eq!(names.len(), 4);
        let fetched = pod(|settings| settings.pull_secrets = vec!["regcred".parse().unwrap()]);
        assert_eq!(fetched, usual, "a running agent needs no image");
    }

    #[test]
    fn kept_agents_can_be_listed_without_their_keys() {
        let folder = tempfile::tempdir().unwrap();
        let store = KeyStore::at(folder.path().join("agents"));
        assert!(store.agents().unwrap().is_empty());
        store.save(&agent(), &kept()).unwrap();
        fs::write(folder.path().join("agents/other.json"), "{}").unwrap();
        fs::copy(store.path(&agent()), folder.path().join("agents/copy.json")).unwrap();
        assert_eq!(store.agents().unwrap(), [(agent(), kept().session)]);
    }

    #[test]
    fn a_forgotten_key_is_gone_and_forgetting_twice_is_fine() {
        let folder = tempfile::tempdir().unwrap();
        let store = KeyStore::at(folder.path());
        store.save(&agent(), &kept()).unwrap();
        store.forget(&agent()).unwrap();
        assert_eq!(store.load(&agent()).unwrap(), None);
        store.forget(&agent()).unwrap();
    }

    #[test]
    fn a_damaged_file_counts_as_no_key_and_can_be_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let store = KeyStore::at(folder.path());
        for damage in [&b"{"[..], b"\xff\xfe", b"", br#"{"version":2}"#] {
            fs::write(store.path(&agent()), damage).unwrap();
            assert_eq!(store.load(&agent()).unwrap(), None);
        }
        store.save(&agent(), &kept()).unwrap();
        assert_eq!(store.load(&agent()).unwrap(), Some(kept()));
    }
}
