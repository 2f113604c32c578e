//! Secrets in files.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::libc::O_NONBLOCK;
use secrecy::zeroize::Zeroizing;

use crate::MAX_SECRET;
use crate::error::SecretError;

/// Permissions of other users than the owner.
const OTHERS: u32 = 0o077;

/// Reads a file that only its owner may read or change.
pub(crate) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    let failed = |detail: String| SecretError::File {
        path: path.to_owned(),
        detail,
    };
    let io = |error: std::io::Error| failed(error.to_string());
    // A pipe would wait for its other end.
    let mut open = File::options();
    let file = open.read(true).custom_flags(O_NONBLOCK).open(path).map_err(io)?;
    // Of the open file, so that nobody can replace it in between.
    let metadata = file.metadata().map_err(io)?;
    if !metadata.is_file() {
        return Err(failed("it is not a regular file".to_owned()));
    }
    let mode = metadata.mode() & 0o7777;
    if mode & OTHERS != 0 {
        return Err(SecretError::OpenFile {
            path: path.to_owned(),
            mode,
        });
    }
    // With its whole capacity, because a vector that grows leaves copies.
    let mut text = Zeroizing::new(Vec::with_capacity(MAX_SECRET + 1));
    let limit = u64::try_from(MAX_SECRET + 1).unwrap_or(u64::MAX);
    file.take(limit).read_to_end(&mut text).map_err(io)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use slipway_problem::Fault;

    use super::*;

    #[test]
    fn a_file_is_read_only_if_nobody_else_may_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        fs::write(&path, "sesame\n").unwrap();
        for (mode, is_private) in [
            (0o600, true),
            (0o400, true),
            (0o644, false),
            (0o640, false),
            (0o602, false),
        ] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            match (read(&path), is_private) {
                (Ok(text), true) => assert_eq!(**text, *b"sesame\n"),
                (Err(error), false) => {
                    assert_eq!(error.code(), "secret-file-open");
                    assert!(error.remedy().contains("chmod 600"), "{}", error.remedy());
                    assert!(!error.to_string().contains("sesame"), "{error}");
                }
                (other, _) => panic!("{mode:o}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_folder_or_pipe_is_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRUSR).unwrap();
        for path in [folder.path(), &pipe, &folder.path().join("missing")] {
            assert_eq!(
                read(path).unwrap_err().code(),
                "secret-file",
                "{}",
                path.display()
            );
        }
    }
}
