//! Watch of the laptop's name servers and search domains: of the files that name them, and of the way to the servers.
//!
//! Their contents are compared at intervals. Messages of the kernel (inotify(7)) would come sooner, but they miss a
//! changed link on the way to a file, a replaced folder and a new mount; the C library looks at intervals too. Whoever
//! writes the files is noticed: NetworkManager, openresolv, systemd-resolved, or a person. A session itself changes
//! only what systemd-resolved writes, and that once.
//!
//! The way to a server may change later than the file: some VPN clients write the file first and add their routes then.
//! A connected socket would keep the old way.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use slipway_laptop::{NSSWITCH_CONF, RESOLV_CONF, RESOLVED_UPLINKS};
use tokio::sync::{mpsc, oneshot};

use crate::name_servers::NameServers;
use crate::need::Need;

/// Pause between two looks at the files.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Pause after the helper could not follow a change, before it is asked again.
const AGAIN: Duration = Duration::from_secs(3);

/// Maximum number of bytes of a file that are compared.
const MOST: u64 = 64 * 1024;

/// Contents of the files at one moment; `None` for one that cannot be read.
type Contents = Vec<Option<Vec<u8>>>;

/// The files, and their contents that the lease has followed.
#[derive(Debug)]
pub(crate) struct LaptopFiles {
    paths: Vec<PathBuf>,
    followed: Contents,
}

impl LaptopFiles {
    /// Reads the files of this laptop. Call it before the helper reads them.
    pub(crate) fn read() -> Self {
        Self::of(
            [RESOLV_CONF, RESOLVED_UPLINKS, NSSWITCH_CONF]
                .map(PathBuf::from)
                .into(),
        )
    }

    fn of(paths: Vec<PathBuf>) -> Self {
        let followed = contents(&paths);
        Self { paths, followed }
    }

    /// Has the lease renewed after every change, until the session ends.
    pub(crate) async fn follow(mut self, servers: NameServers, needs: mpsc::Sender<Need>) {
        let mut pause = LOOK_EVERY;
        // A way that new sockets do not take either is no reason to renew them again.
        let mut tried = Vec::new();
        loop {
            tokio::time::sleep(pause).await;
            pause = LOOK_EVERY;
            // The helper may read a later content, which the next look then finds and has it read again.
            let now = contents(&self.paths);
            let moved = servers.moved();
            if moved.is_empty() {
                tried.clear();
            }
            if now == self.followed && (moved.is_empty() || moved == tried) {
                continue;
            }
            tracing::debug!(?moved, "the laptop's name servers, or the ways to them, changed");
            let (renewed, done) = oneshot::channel();
            if needs.send(Need::NameServers { renewed }).await.is_err() {
                return;
            }
            if done.await == Ok(true) {
                self.followed = now;
                tried = moved;
            } else {
                pause = AGAIN;
            }
        }
    }
}

fn contents(paths: &[PathBuf]) -> Contents {
    paths.iter().map(|path| content(path)).collect()
}

fn content(path: &Path) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    File::open(path).ok()?.take(MOST).read_to_end(&mut content).ok()?;
    Some(content)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use tokio::time::{Instant, timeout};
    use tokio_util::task::AbortOnDropHandle;

    use super::*;

    /// Time within which a change has to count.
    const WITHIN: Duration = Duration::from_secs(5);

    struct Bench {
        folder: tempfile::TempDir,
        needs: mpsc::Receiver<Need>,
        _task: AbortOnDropHandle<()>,
    }

    impl Bench {
        /// A laptop whose resolv.conf is a link to a file in another folder.
        fn start() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = |name: &str| folder.path().join(name);
            fs::create_dir(path("run")).unwrap();
            fs::write(path("run/resolv.conf"), "nameserver 192.0.2.1\n").unwrap();
            symlink("run/resolv.conf", path("resolv.conf")).unwrap();
            let (sender, needs) = mpsc::channel(1);
            let files = LaptopFiles::of(vec![path("resolv.conf"), path("nsswitch.conf")]);
            Self {
                needs,
                _task: AbortOnDropHandle::new(tokio::spawn(
                    files.follow(NameServers::new(sender.clone()), sender),
                )),
                folder,
            }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        fn write(&self, name: &str, text: &str) {
            fs::write(self.path(name), text).unwrap();
        }

        /// Waits for a request, and says whether the helper could follow. Returns whether there was one.
        async fn is_renewed(&mut self, done: bool) -> bool {
            match timeout(WITHIN, self.needs.recv()).await {
                Ok(Some(Need::NameServers { renewed })) => renewed.send(done).is_ok(),
                Ok(other) => panic!("{other:?}"),
                Err(_) => false,
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn every_way_to_change_a_file_is_noticed() {
        let mut bench = Bench::start();
        assert!(!bench.is_renewed(true).await, "nothing has changed");
        bench.write("resolv.conf", "nameserver 192.0.2.2\n");
        assert!(bench.is_renewed(true).await, "written through the link");

        bench.write("new", "nameserver 192.0.2.3\n");
        fs::rename(bench.path("new"), bench.path("run/resolv.conf")).unwrap();
        assert!(bench.is_renewed(true).await, "the link's target was replaced");

        bench.write("other", "nameserver 192.0.2.4\n");
        symlink("other", bench.path("link")).unwrap();
        fs::rename(bench.path("link"), bench.path("resolv.conf")).unwrap();
        assert!(bench.is_renewed(true).await, "another link");

        bench.write("other", "nameserver 192.0.2.5\n");
        assert!(bench.is_renewed(true).await, "the new target was written");

        fs::remove_file(bench.path("resolv.conf")).unwrap();
        symlink("run/resolv.conf", bench.path("resolv.conf")).unwrap();
        assert!(bench.is_renewed(true).await, "the first link again");
        fs::create_dir(bench.path("run2")).unwrap();
        bench.write("run2/resolv.conf", "nameserver 192.0.2.6\n");
        fs::rename(bench.path("run"), bench.path("old")).unwrap();
        fs::rename(bench.path("run2"), bench.path("run")).unwrap();
        assert!(bench.is_renewed(true).await, "the target's folder was replaced");

        bench.write("nsswitch.conf", "hosts: files resolve\n");
        assert!(bench.is_renewed(true).await, "a file that did not exist");
        fs::remove_file(bench.path("resolv.conf")).unwrap();
        assert!(bench.is_renewed(true).await, "a file that is gone");
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_content_written_again_is_no_change() {
        let mut bench = Bench::start();
        bench.write("new", "nameserver 192.0.2.1\n");
        fs::rename(bench.path("new"), bench.path("run/resolv.conf")).unwrap();
        assert!(!bench.is_renewed(true).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_that_the_helper_refused_is_tried_again() {
        let mut bench = Bench::start();
        bench.write("resolv.conf", "nameserver 192.0.2.2\n");
        assert!(bench.is_renewed(false).await);
        let begun = Instant::now();
        assert!(bench.is_renewed(true).await);
        assert!(begun.elapsed() >= AGAIN, "{:?}", begun.elapsed());
        assert!(!bench.is_renewed(true).await, "and then no more");
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_written_every_second_is_followed() {
        let mut bench = Bench::start();
        for number in 0..10 {
            bench.write(
                "resolv.conf",
                &format!("nameserver 192.0.2.{number}\noptions ndots:2\n"),
            );
            let begun = Instant::now();
            assert!(bench.is_renewed(true).await);
            assert!(begun.elapsed() < 2 * LOOK_EVERY, "{:?}", begun.elapsed());
        }
    }
}
