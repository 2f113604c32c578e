//! Folder of the helper's socket: only one in which nobody else can put something in the socket's place.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Mode bits: the group or others may write; they may add to a folder, and take away only what is theirs.
const WRITABLE: u32 = 0o022;
const STICKY: u32 = 0o1000;

/// Why a folder is none for the helper's socket.
#[derive(Debug, thiserror::Error)]
pub enum Unguarded {
    /// It cannot be looked at.
    #[error("{} cannot be looked at ({source}): take a folder below root's own", folder.display())]
    Unseen {
        /// The folder.
        folder: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It, or one above it, is somebody else's.
    #[error(
        "{} belongs to user {owner}, who could put something else in the socket's place: take a folder below root's own",
        folder.display()
    )]
    Owned {
        /// Which one.
        folder: PathBuf,
        /// Whose it is.
        owner: u32,
    },
    /// It, or one above it, is open to others.
    #[error(
        "{} may be written to by others, who could put something else in the socket's place: close it to them with \
         `chmod go-w`, or take another folder",
        folder.display()
    )]
    Open {
        /// Which one.
        folder: PathBuf,
    },
}

/// The folder without links in its path, if nobody but root and `user` can change what is at that path.
///
/// # Errors
///
/// Who else can.
pub fn guarded(folder: &Path, user: u32) -> Result<PathBuf, Unguarded> {
    let unseen = |source| Unguarded::Unseen {
        folder: folder.to_owned(),
        source,
    };
    let real = folder.canonicalize().map_err(unseen)?;
    for part in real.ancestors() {
        let metadata = part.symlink_metadata().map_err(unseen)?;
        let (owner, mode) = (metadata.uid(), metadata.mode());
        let folder = part.to_owned();
        if owner != 0 && owner != user {
            return Err(Unguarded::Owned { folder, owner });
        }
        if mode & WRITABLE != 0 && mode & STICKY == 0 {
            return Err(Unguarded::Open { folder });
        }
    }
    Ok(real)
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, create_dir, set_permissions};
    use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

    use nix::unistd::geteuid;

    use super::*;

    fn set_mode(folder: &Path, mode: u32) {
        set_permissions(folder, Permissions::from_mode(mode)).expect("mode");
    }

    #[test]
    fn a_folder_of_ones_own_is_guarded() {
        let folder = tempfile::tempdir().expect("folder");
        let real = folder.path().canonicalize().expect("path");
        let link = folder.path().join("link");
        symlink(folder.path(), &link).expect("link");
        for path in [folder.path(), &link] {
            assert_eq!(guarded(path, geteuid().as_raw()).expect("guarded"), real);
        }
    }

    #[test]
    fn a_folder_below_somebody_elses_is_not() {
        let folder = tempfile::tempdir().expect("folder");
        if geteuid().is_root() {
            chown(folder.path(), Some(4242), None).expect("owner");
        }
        let below = folder.path().join("below");
        create_dir(&below).expect("folder");
        set_mode(&below, 0o755);
        let whose = folder.path().metadata().expect("metadata").uid();
        let refused = guarded(&below, whose + 1).expect_err("somebody else's");
        assert!(
            matches!(refused, Unguarded::Owned { owner, .. } if owner == whose),
            "{refused}"
        );
    }

    #[test]
    fn a_folder_open_to_others_must_be_sticky() {
        let folder = tempfile::tempdir().expect("folder");
        let user = geteuid().as_raw();
        for mode in [0o777, 0o775] {
            set_mode(folder.path(), mode);
            let refused = guarded(folder.path(), user).expect_err("open");
            assert!(matches!(refused, Unguarded::Open { .. }), "{refused}");
        }
        set_mode(folder.path(), 0o1777);
        assert!(guarded(folder.path(), user).is_ok(), "as /tmp is");
    }
}
