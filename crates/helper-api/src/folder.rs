//! Folder of the helper's socket: only root and the helper's user may be able to replace the socket in it.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Mode bits with which the group or others may write.
const WRITABLE: u32 = 0o022;
/// Mode bit with which others may remove only their own files from a folder.
const STICKY: u32 = 0o1000;

/// Reason why a folder is not safe for the helper's socket.
#[derive(Debug, thiserror::Error)]
pub enum Unguarded {
    /// The owner and mode of a folder cannot be read.
    #[error("the owner of {} cannot be read ({source}): use a folder owned by root", folder.display())]
    Unseen {
        /// The folder.
        folder: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The folder, or one above it, belongs to another user.
    #[error(
        "{} belongs to user {owner}, who could replace the helper's socket: use a folder owned by root",
        folder.display()
    )]
    Owned {
        /// The folder that belongs to another user.
        folder: PathBuf,
        /// ID of that user.
        owner: u32,
    },
    /// Other users may write to the folder, or to one above it.
    #[error(
        "other users may write to {} and could replace the helper's socket: run `chmod go-w` on it, or use \
         another folder",
        folder.display()
    )]
    Open {
        /// The folder that others may write to.
        folder: PathBuf,
    },
}

/// Returns the folder's path without symbolic links, if only root and `user` can change its contents or its parents.
///
/// # Errors
/// [`Unguarded`] if other users can, or if that cannot be determined.
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
    fn a_folder_of_the_user_is_guarded() {
        let folder = tempfile::tempdir().expect("folder");
        let real = folder.path().canonicalize().expect("path");
        let link = folder.path().join("link");
        symlink(folder.path(), &link).expect("link");
        for path in [folder.path(), &link] {
            assert_eq!(guarded(path, geteuid().as_raw()).expect("guarded"), real);
        }
    }

    #[test]
    fn a_folder_below_another_users_is_refused() {
        let folder = tempfile::tempdir().expect("folder");
        if geteuid().is_root() {
            chown(folder.path(), Some(4242), None).expect("owner");
        }
        let below = folder.path().join("below");
        create_dir(&below).expect("folder");
        set_mode(&below, 0o755);
        let whose = folder.path().metadata().expect("metadata").uid();
        let refused = guarded(&below, whose + 1).expect_err("another user's");
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
        assert!(guarded(folder.path(), user).is_ok(), "sticky, like /tmp");
    }
}
