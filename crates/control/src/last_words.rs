//! Last words: the last status and the end of the log of a session that ended by itself.
//!
//! Each is a file in the runtime folder. They let the user of a background session find out later why it ended.

use std::cmp::Reverse;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use slipway_control_api::SessionStatus;

use crate::error::Error;
use crate::folder::RuntimeFolder;

const ENDING: &str = "ended";
/// Number of sessions whose last words are kept.
const MAX_KEPT: usize = 4;
/// Number of log lines that are kept.
const MAX_LINES: usize = 500;

/// The last words of a session that ended by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastWords {
    /// Its last status; `failure` is the reason of the end.
    pub status: SessionStatus,
    /// The last lines of its log.
    pub log: Vec<String>,
}

impl RuntimeFolder {
    /// Saves a session's last words, in place of those of an earlier session with the same title. The oldest are removed
    /// when there are too many.
    ///
    /// # Errors
    /// [`Error::Io`] if they cannot be written, [`Error::NotPrivate`] if other users can access the folder.
    pub fn keep_last_words(&self, mut words: LastWords) -> Result<(), Error> {
        self.ensure()?;
        self.forget_last_words(words.status.title());
        words.log.drain(..words.log.len().saturating_sub(MAX_LINES));
        let id = &words.status.id;
        let path = self.path().join(format!("{id}.{ENDING}"));
        let unfinished = self.path().join(format!(".{id}.{ENDING}"));
        let write = || {
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&unfinished)?;
            file.write_all(&serde_json::to_vec(&words)?)?;
            fs::rename(&unfinished, &path)
        };
        write().map_err(|source: io::Error| Error::Io {
            action: "written",
            path: path.clone(),
            source,
        })?;
        for (path, _) in self.kept().into_iter().skip(MAX_KEPT) {
            remove(&path);
        }
        Ok(())
    }

    /// Returns the last words that are kept, newest first. Files that cannot be read are left out.
    pub fn last_words(&self) -> Vec<LastWords> {
        self.kept().into_iter().map(|(_path, words)| words).collect()
    }

    /// Removes the last words of sessions with this title.
    pub fn forget_last_words(&self, title: &str) {
        for (path, words) in self.kept() {
            if words.status.title() == title {
                remove(&path);
            }
        }
    }

    fn kept(&self) -> Vec<(PathBuf, LastWords)> {
        let Ok(entries) = fs::read_dir(self.path()) else {
            return Vec::new();
        };
        let read = |path: PathBuf| {
            let is_one = path.extension().is_some_and(|ending| ending == ENDING);
            let text = fs::read(&path).ok().filter(|_| is_one)?;
            Some((path, serde_json::from_slice::<LastWords>(&text).ok()?))
        };
        let mut kept: Vec<_> = entries.filter_map(|entry| read(entry.ok()?.path())).collect();
        kept.sort_by_key(|(_path, words)| Reverse(words.status.since));
        kept
    }
}

fn remove(path: &PathBuf) {
    if let Err(error) = fs::remove_file(path) {
        tracing::debug!(path = %path.display(), %error, "failed to remove the last words of a session");
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use slipway_control_api::{Problem, State};
    use slipway_profile::Method;

    use super::*;
    use crate::start::status_of_this_process;

    fn words(id: &str, profile: &str, at: i64) -> LastWords {
        let mut status =
            status_of_this_process(id.parse().unwrap(), Some(profile.to_owned()), Method::VpnTcp);
        status.state = State::Ended;
        status.started = Timestamp::UNIX_EPOCH;
        status.since = Timestamp::from_second(at).unwrap();
        status.failure = Some(Problem::new("helper-gone", "It is gone", "Start it"));
        LastWords {
            status,
            log: vec!["one".into(), "two".into()],
        }
    }

    fn ids(folder: &RuntimeFolder) -> Vec<String> {
        let kept = folder.last_words();
        kept.iter().map(|words| words.status.id.to_string()).collect()
    }

    #[test]
    fn the_newest_come_first_and_the_oldest_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let folder = RuntimeFolder::at(dir.path().join("slipway")).unwrap();
        assert_eq!(folder.last_words(), []);
        for number in 0..MAX_KEPT + 2 {
            let at = i64::try_from(number).unwrap();
            let words = words(&format!("s-{number}"), &format!("p{number}"), at);
            folder.keep_last_words(words).unwrap();
        }
        assert_eq!(ids(&folder), ["s-5", "s-4", "s-3", "s-2"]);
        assert_eq!(folder.last_words()[0], words("s-5", "p5", 5));
        assert_eq!(folder.ids().unwrap(), [], "they are no sessions");
    }

    #[test]
    fn only_the_last_words_of_a_title_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let folder = RuntimeFolder::at(dir.path().join("slipway")).unwrap();
        folder.keep_last_words(words("shop-1", "shop", 1)).unwrap();
        folder.keep_last_words(words("shop-2", "shop", 2)).unwrap();
        folder.keep_last_words(words("blog-1", "blog", 3)).unwrap();
        assert_eq!(ids(&folder), ["blog-1", "shop-2"]);
        folder.forget_last_words("shop");
        assert_eq!(ids(&folder), ["blog-1"]);
    }

    #[test]
    fn a_long_log_is_cut_at_its_beginning() {
        let dir = tempfile::tempdir().unwrap();
        let folder = RuntimeFolder::at(dir.path().join("slipway")).unwrap();
        let mut long = words("s-1", "p", 1);
        long.log = (0..MAX_LINES + 1).map(|line| line.to_string()).collect();
        folder.keep_last_words(long).unwrap();
        let kept = &folder.last_words()[0].log;
        assert_eq!((kept.len(), kept[0].as_str()), (MAX_LINES, "1"));
    }
}
