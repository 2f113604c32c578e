//! Runtime folder, which has the sockets of sessions.

use std::env;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;
use slipway_control_api::SessionId;

use crate::error::Error;

const SOCKET_ENDING: &str = "sock";

/// The folder of the sockets. Only this user can access it, and it is removed when the login ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeFolder {
    path: PathBuf,
}

impl RuntimeFolder {
    /// Opens this user's folder: `$XDG_RUNTIME_DIR/slipway`, else `/run/user/UID/slipway`. It is created (0700) if it is
    /// missing. A folder that other users may write, such as /tmp, is never used: another user could create the socket
    /// first.
    ///
    /// # Errors
    /// [`Error::NoRuntimeFolder`] if neither exists; [`Error::NotPrivate`], [`Error::Io`] as for
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

    /// Opens the folder `path`; creates it (0700) if it is missing.
    ///
    /// # Errors
    /// [`Error::NotPrivate`] if another user owns or can enter it, [`Error::Io`] if it cannot be made.
    pub fn at(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let folder = Self { path: path.into() };
        folder.ensure()?;
        Ok(folder)
    }

    /// The folder's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the path of a session's socket, whether or not it exists.
    pub fn socket(&self, id: &SessionId) -> PathBuf {
        self.path.join(format!("{id}.{SOCKET_ENDING}"))
    }

    /// Returns the path at which a session's socket is made before it listens. Clients ignore this name.
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
        // Links are not followed, because the target of a link can change later.
        let found = fs::symlink_metadata(&self.path).map_err(failed)?;
        if !found.is_dir() || found.uid() != geteuid().as_raw() || found.mode() & 0o077 != 0 {
            return Err(Error::NotPrivate {
                folder: self.path.clone(),
            });
        }
        Ok(())
    }

    /// Returns every id that has a socket, served or stale, sorted.
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
    fn without_a_runtime_dir_only_the_login_folder_is_used() {
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
