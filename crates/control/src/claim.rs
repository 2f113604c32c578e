//! Claim: the right to be the only session of a profile or place, for as long as the session's process lives.
//!
//! A look at the running sessions is not enough: of two that start at the same moment, neither is listed yet. So the
//! claim is a [`FileLock`].

use std::io::Read;

use sha2::{Digest, Sha256};
use slipway_control_api::SessionId;
use slipway_profile::ProfileId;

use crate::error::Error;
use crate::file_lock::FileLock;
use crate::folder::RuntimeFolder;

/// A profile or place, which may have one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A saved profile.
    Profile(ProfileId),
    /// A namespace of a cluster, for sessions without a profile.
    Place {
        /// The API server's address.
        server: String,
        /// The namespace.
        namespace: String,
    },
}

/// The right to be the only session of a [`Subject`]. It ends when this is dropped.
#[derive(Debug)]
pub struct Claim {
    _lock: FileLock,
}

/// Why there is no claim.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// A running session has the claim.
    #[error("another session of the same profile or place runs")]
    Taken {
        /// The id of that session; `None` if it has not written it yet.
        by: Option<SessionId>,
    },
    /// The file cannot be made or read.
    #[error(transparent)]
    Failed(#[from] Error),
}

impl RuntimeFolder {
    /// Claims `subject` for the session `id`.
    ///
    /// # Errors
    /// [`ClaimError::Taken`] if another session has the claim.
    pub fn claim(&self, subject: &Subject, id: &SessionId) -> Result<Claim, ClaimError> {
        let mut lock = match self.take_lock(&file_name(subject))? {
            Ok(lock) => lock,
            Err(mut theirs) => {
                let mut holder = String::new();
                // The holder may not have written its id yet.
                let _ = theirs.read_to_string(&mut holder);
                return Err(ClaimError::Taken {
                    by: holder.parse().ok(),
                });
            }
        };
        lock.write(id.as_str())?;
        Ok(Claim { _lock: lock })
    }
}

/// Returns the name of the lock file: a digest, because addresses and names may have characters that file names cannot.
fn file_name(subject: &Subject) -> String {
    let mut digest = Sha256::new();
    match subject {
        Subject::Profile(id) => digest.update(format!("profile\0{id}")),
        Subject::Place { server, namespace } => digest.update(format!("place\0{namespace}\0{server}")),
    }
    format!("{}.lock", hex::encode(&digest.finalize()[..16]))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    fn folder() -> (tempfile::TempDir, RuntimeFolder) {
        let dir = tempfile::tempdir().unwrap();
        let folder = RuntimeFolder::at(dir.path().join("slipway")).unwrap();
        (dir, folder)
    }

    fn id(text: &str) -> SessionId {
        text.parse().unwrap()
    }

    fn profile(name: &str) -> Subject {
        Subject::Profile(ProfileId::of_name(&name.parse().unwrap()))
    }

    #[test]
    fn the_second_claim_names_the_holder() {
        let (_dir, folder) = folder();
        let first = folder.claim(&profile("shop"), &id("shop-a1")).unwrap();
        let second = folder.claim(&profile("shop"), &id("shop-b2")).unwrap_err();
        assert!(matches!(second, ClaimError::Taken { by: Some(by) } if by == id("shop-a1")));
        let _other = folder.claim(&profile("blog"), &id("blog-c3")).unwrap();
        drop(first);
        let _again = folder.claim(&profile("shop"), &id("shop-b2")).unwrap();
    }

    #[test]
    fn the_file_of_a_killed_session_is_no_claim() {
        let (_dir, folder) = folder();
        fs::write(folder.path().join(file_name(&profile("shop"))), "shop-a1").unwrap();
        let claim = folder.claim(&profile("shop"), &id("shop-b2")).unwrap();
        assert_eq!(
            fs::read_to_string(folder.path().join(file_name(&profile("shop")))).unwrap(),
            "shop-b2"
        );
        drop(claim);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn of_many_claims_at_once_one_succeeds() {
        let (_dir, folder) = folder();
        let (having, had) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let Ok(claim) = folder.claim(&profile("one"), &id("a-1")) else {
                            continue;
                        };
                        assert_eq!(having.fetch_add(1, Ordering::SeqCst), 0, "two have it");
                        thread::yield_now();
                        having.fetch_sub(1, Ordering::SeqCst);
                        had.fetch_add(1, Ordering::SeqCst);
                        drop(claim);
                    }
                });
            }
        });
        assert!(had.load(Ordering::SeqCst) > 0);
    }
}
