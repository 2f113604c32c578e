//! The helper's program, and whether it may be run as root: only if no ordinary user can have written it.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use slipway_helper_api::{Unguarded, guarded};

/// Place where packages put the program.
pub(super) const PACKAGED: &str = "/usr/libexec/slipway/slipway-helper";

/// Mode bits with which the group or others may write.
const WRITABLE: u32 = 0o022;

/// Why no program can be run as root.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    /// There is none.
    #[error("there is no slipway-helper beside slipway ({}), nor at {PACKAGED}", beside.display())]
    Missing { beside: PathBuf },
    /// It cannot be looked at.
    #[error("{} cannot be looked at: {source}", program.display())]
    Unseen {
        program: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Somebody other than root may have written it.
    #[error("{} is not run as root, because {why}", program.display())]
    Writable { program: PathBuf, why: String },
}

impl Unusable {
    /// The program, if there is one.
    pub(super) fn program(&self) -> Option<&Path> {
        match self {
            Self::Missing { .. } => None,
            Self::Unseen { program, .. } | Self::Writable { program, .. } => Some(program),
        }
    }
}

/// Returns the program beside this one, or else the packaged one, without symbolic links.
pub(super) fn find() -> Result<PathBuf, Unusable> {
    let own = std::env::current_exe().unwrap_or_default();
    first_trusted(&own.with_file_name("slipway-helper"), Path::new(PACKAGED), 0)
}

/// Returns the first of the two that may be run as root; otherwise why the first that exists may not.
fn first_trusted(beside: &Path, packaged: &Path, root: u32) -> Result<PathBuf, Unusable> {
    let mut refused = None;
    for program in [beside, packaged].into_iter().filter(|program| program.exists()) {
        match trusted(program, root) {
            Ok(program) => return Ok(program),
            Err(why) => refused = refused.or(Some(why)),
        }
    }
    Err(refused.unwrap_or_else(|| Unusable::Missing {
        beside: beside.to_owned(),
    }))
}

/// Returns the program's path without symbolic links, if only `root` can have written it and can replace it.
fn trusted(program: &Path, root: u32) -> Result<PathBuf, Unusable> {
    let unseen = |source| Unusable::Unseen {
        program: program.to_owned(),
        source,
    };
    let real = program.canonicalize().map_err(unseen)?;
    let metadata = real.symlink_metadata().map_err(unseen)?;
    let writable = |why: String| Unusable::Writable {
        program: program.to_owned(),
        why,
    };
    if let Some(why) = written_by_others(&metadata, root) {
        return Err(writable(why));
    }
    let folder = real.parent().unwrap_or(&real);
    match guarded(folder, root) {
        Ok(_) => Ok(real),
        Err(Unguarded::Owned { folder, owner }) => Err(writable(format!(
            "its folder {} belongs to user {owner}",
            folder.display()
        ))),
        Err(Unguarded::Open { folder }) => Err(writable(format!(
            "others than root may write to its folder {}",
            folder.display()
        ))),
        Err(Unguarded::Unseen { folder, source }) => Err(writable(format!(
            "the owner of its folder {} cannot be read: {source}",
            folder.display()
        ))),
    }
}

/// Returns why somebody else may have written a file, if so. The mask of an access control list is the group's part of the
/// mode, so a list that lets others write shows there (acl(5)).
fn written_by_others(metadata: &Metadata, root: u32) -> Option<String> {
    if !metadata.is_file() {
        return Some("it is not a file".to_owned());
    }
    if metadata.uid() != root {
        return Some(format!("it belongs to user {}", metadata.uid()));
    }
    (metadata.mode() & WRITABLE != 0).then(|| "others than root may write to it".to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, create_dir, set_permissions, write};
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    /// A program of this user in a folder of its own.
    fn program() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().canonicalize().unwrap().join("bin");
        create_dir(&inner).unwrap();
        set_mode(&inner, 0o755);
        let program = inner.join("slipway-helper");
        write(&program, "").unwrap();
        set_mode(&program, 0o755);
        (folder, program)
    }

    fn set_mode(path: &Path, mode: u32) {
        set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    fn own() -> u32 {
        nix::unistd::geteuid().as_raw()
    }

    #[test]
    fn a_program_that_only_its_owner_can_write_is_trusted() {
        let (folder, program) = program();
        assert_eq!(trusted(&program, own()).unwrap(), program);
        let link = folder.path().join("link");
        symlink(&program, &link).unwrap();
        assert_eq!(trusted(&link, own()).unwrap(), program, "sudo gets no link");
    }

    #[test]
    fn a_packaged_program_serves_for_one_that_is_not_trusted() {
        let (folder, beside) = program();
        let (_other, packaged) = program();
        let none = folder.path().join("none");
        assert_eq!(first_trusted(&beside, &packaged, own()).unwrap(), beside);
        set_mode(&beside, 0o777);
        assert_eq!(first_trusted(&beside, &packaged, own()).unwrap(), packaged);
        let refused = first_trusted(&beside, &none, own()).unwrap_err();
        assert_eq!(refused.program(), Some(beside.as_path()));
        let missing = first_trusted(&none, &none, own()).unwrap_err();
        assert!(matches!(missing, Unusable::Missing { .. }), "{missing}");
    }

    #[test]
    fn a_program_of_another_user_is_not_trusted() {
        let (_folder, program) = program();
        let refused = trusted(&program, own() + 1).unwrap_err();
        assert!(refused.to_string().contains("it belongs to user"), "{refused}");
        assert_eq!(refused.program(), Some(program.as_path()));
    }

    #[test]
    fn a_program_that_others_can_change_is_not_trusted() {
        for mode in [0o775, 0o757, 0o777] {
            let (_folder, program) = program();
            set_mode(&program, mode);
            let refused = trusted(&program, own()).unwrap_err();
            assert!(refused.to_string().contains("may write to it"), "{refused}");
            set_mode(&program, 0o755);
            set_mode(program.parent().unwrap(), mode);
            let refused = trusted(&program, own()).unwrap_err();
            assert!(
                refused.to_string().contains("may write to its folder"),
                "{refused}"
            );
        }
        let (_folder, program) = program();
        let folder = program.parent().unwrap();
        assert!(trusted(folder, own()).is_err(), "a folder is no program");
        assert!(trusted(&folder.join("none"), own()).is_err());
    }
}
