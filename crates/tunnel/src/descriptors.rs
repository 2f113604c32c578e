//! Descriptors of this process. Each stream has a socket at each end, so they limit the number of streams.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Raises this process's soft limit of descriptors to the hard one, and returns the number that it may have open.
///
/// The usual soft limit, 1024, is for programs that use `select(2)`. Programs that this process starts inherit the raised
/// limit.
pub fn raise_limit() -> u64 {
    let (soft, hard) = match getrlimit(Resource::RLIMIT_NOFILE) {
        Ok(limits) => limits,
        Err(error) => {
            tracing::warn!(%error, "could not read the limit of open files");
            return u64::MAX;
        }
    };
    match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        Err(error) => {
            tracing::warn!(%error, soft, hard, "could not raise the limit of open files");
            soft
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_is_raised_to_the_hard_one() {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        assert_eq!(raise_limit(), hard);
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap(), (hard, hard));
    }
}
