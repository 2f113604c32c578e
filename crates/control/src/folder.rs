//! Where sessions are found.

use std::env;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use nix::unistd::geteuid;
use serde::{Deserialize, Serialize};

use crate::error::Error;

const SOCKET_ENDING: &str = "sock";

/// A session's id: `[a-z0-9][a-z0-9-]{0,62}`. It is typed by people and is a file name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SessionId(String);

/// A text that is no session id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a session id has 1 to 63 lower-case letters, digits and '-', and does not begin with '-'")]
pub struct InvalidSessionId;

impl SessionId {
    const MAX_LEN: usize = 63;
    /// Longest part that is taken over from a name. A socket's whole path has at most 107 bytes (unix(7)).
    const MAX_STEM: usize = 32;
    const SUFFIX_LEN: usize = 6;

    /// A new id that reminds of `name` (a profile or a context) and that no other session has.
    pub fn fresh(name: &str) -> Self {
        let mut stem = String::new();
        for c in name.chars().map(|c| c.to_ascii_lowercase()) {
            if stem.len() == Self::MAX_STEM {
                break;
            }
            if c.is_ascii_lowercase() || c.is_ascii_digit() {
                stem.push(c);
            } else if !stem.is_empty() && !stem.ends_with('-') {
                stem.push('-');
            }
        }
        let stem = match stem.trim_end_matches('-') {
            "" => "session",
            stem => stem,
        };
        let random = uuid::Uuid::new_v4().simple().to_string();
        let suffix = random.get(..Self::SUFFIX_LEN).unwrap_or(&random);
        Self(format!("{stem}-{suffix}"))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SessionId {
    type Err = InvalidSessionId;

    fn from_str(text: &str) -> Result<Self, InvalidSessionId> {
        let fits = (1..=Self::MAX_LEN).contains(&text.len())
            && !text.starts_with('-')
            && text
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if !fits {
            return Err(InvalidSessionId);
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for SessionId {
    type Error = InvalidSessionId;

    fn try_from(text: String) -> Result<Self, InvalidSessionId> {
        text.parse()
    }
}

impl From<SessionId> for String {
    fn from(id: SessionId) -> Self {
        id.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The folder of the sockets: this user's own, gone when the login ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeFolder {
    path: PathBuf,
}

impl RuntimeFolder {
    /// This user's folder: `$XDG_RUNTIME_DIR/slipway`, else `/run/user/UID/slipway`. A folder that others may
    /// write, like /tmp, is never taken: whoever came first could play the session. Created (0700) if it is
    /// missing.
    ///
    /// # Errors
    /// [`Error::NoRuntimeFolder`] if there is neither; [`Error::NotPrivate`], [`Error::Io`] as for
    /// [`RuntimeFolder::at`].
    pub fn of_user() -> Result<Self, Error> {
        let named = env::var_os("XDG_RUNTIME_DIR")
            .map(PathBuf::from)
            .filter(|path| path.is_absolute());
        Self::in_runtime_dir(named, PathBuf::from(format!("/run/user/{}", geteuid())))
    }

    fn in_runtime_dir(named: Option<PathBuf>, fallback: PathBuf) -> Result<Self, Error> {
        match named {
            Some(named) => Self::at(named.join("slipway")),
            None if fallback.is_dir() => Self::at(fallback.join("slipway")),
            None => Err(Error::NoRuntimeFolder { fallback }),
        }
    }

    /// The folder `path`, created (0700) if it is missing.
    ///
    /// # Errors
    /// [`Error::NotPrivate`] if it is another's or open to others, [`Error::Io`] if it cannot be made.
    pub fn at(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let folder = Self { path: path.into() };
        folder.ensure()?;
        Ok(folder)
    }

    /// The folder's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The socket of a session, whether or not it exists.
    pub fn socket(&self, id: &SessionId) -> PathBuf {
        self.path.join(format!("{id}.{SOCKET_ENDING}"))
    }

    /// Where a session's socket is made before it listens: a name that nobody takes for a session's.
    pub(crate) fn unfinished_socket(&self, id: &SessionId) -> PathBuf {
        self.path.join(format!(".{id}"))
    }

    /// Makes the folder if it is missing and checks that it is private.
    pub(crate) fn ensure(&self) -> Result<(), Error> {
        let failed = |source| Error::Io {
            action: "made",
            path: self.path.clone(),
            source,
        };
        match fs::DirBuilder::new().mode(0o700).create(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
            Ok(()) | Err(_) => {}
        }
        // Of the path itself, not of what a link there points to: a link could be turned elsewhere later.
        let found = fs::symlink_metadata(&self.path).map_err(failed)?;
        if !found.is_dir() || found.uid() != geteuid().as_raw() || found.mode() & 0o077 != 0 {
            return Err(Error::NotPrivate {
                folder: self.path.clone(),
            });
        }
        Ok(())
    }

    /// Every id that has a socket, living or stale, in order.
    pub(crate) fn ids(&self) -> Result<Vec<SessionId>, Error> {
        let failed = |source| Error::Io {
            action: "read",
            path: self.path.clone(),
            source,
        };
        let mut ids = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_none_or(|ending| ending != SOCKET_ENDING) {
                continue;
            }
            if let Some(id) = path
                .file_stem()
                .and_then(|stem| stem.to_str())
                .and_then(|stem| stem.parse().ok())
            {
                ids.push(id);
            }
        }
        ids.sort();
        Ok(ids)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn fresh_ids_remind_of_their_name_and_are_never_the_same() {
        let a = SessionId::fresh("shop-staging");
        assert!(a.as_str().starts_with("shop-staging-"), "{a}");
        assert_ne!(a, SessionId::fresh("shop-staging"));
        for name in [
            "arn:aws:eks:eu-west-1:1234:cluster/a-name-that-goes-on-and-on",
            "",
            "---",
            "Ünïcode @ 1",
        ] {
            let id = SessionId::fresh(name);
            assert_eq!(id.as_str().parse::<SessionId>().unwrap(), id);
            assert!(id.as_str().len() <= SessionId::MAX_STEM + 1 + SessionId::SUFFIX_LEN);
        }
    }

    #[test]
    fn an_id_cannot_leave_its_folder() {
        for bad in ["", "..", "a/b", "-a", "A", "a.sock", &"a".repeat(64)] {
            assert!(bad.parse::<SessionId>().is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn without_a_runtime_dir_the_login_folder_is_taken_and_nothing_else() {
        let login = tempfile::tempdir().unwrap();
        let folder = RuntimeFolder::in_runtime_dir(None, login.path().to_owned()).unwrap();
        assert_eq!(folder.path(), login.path().join("slipway"));
        let missing = login.path().join("missing");
        assert!(matches!(
            RuntimeFolder::in_runtime_dir(None, missing),
            Err(Error::NoRuntimeFolder { .. })
        ));
    }

    #[test]
    fn a_folder_that_others_may_enter_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("slipway");
        RuntimeFolder::at(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(matches!(RuntimeFolder::at(&path), Err(Error::NotPrivate { .. })));
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(dir.path(), &link).unwrap();
        assert!(matches!(RuntimeFolder::at(&link), Err(Error::NotPrivate { .. })));
    }
}
