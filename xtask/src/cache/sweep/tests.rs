use std::fs::FileTimes;
use std::time::Duration;

use serde_json::json;

use super::*;

/// Size of a test file on its disk.
const FILE: u64 = 64 * 1024;

const OLD: &str = "0000000000000001";
const OLDER: &str = "0000000000000002";
const USED: &str = "0000000000000003";

/// A folder of caches.
struct Caches {
    root: tempfile::TempDir,
    now: SystemTime,
}

impl Caches {
    fn new() -> Caches {
        Caches {
            root: tempfile::tempdir().expect("a folder"),
            now: SystemTime::now(),
        }
    }

    /// Creates a file that was last used this many hours ago.
    fn put(&self, path: &str, hours: u64) {
        let path = self.root.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(&path, vec![7; usize::try_from(FILE).expect("small")]).expect("written");
        let used = self.now - Duration::from_secs(hours * 3600);
        let times = FileTimes::new().set_accessed(used).set_modified(used);
        File::options()
            .write(true)
            .open(&path)
            .and_then(|file| file.set_times(times))
            .expect("dated");
    }

    /// Creates the artefacts of one crate.
    fn put_crate(&self, folder: &str, hash: &str, hours: u64) {
        self.put(&format!("{folder}/deps/libserde-{hash}.rlib"), hours);
        self.put(&format!("{folder}/.fingerprint/serde-{hash}/lib-serde"), hours);
        self.put(&format!("{folder}/build/serde-{hash}/out/table.rs"), hours);
    }

    fn has(&self, path: &str) -> bool {
        self.root.path().join(path).exists()
    }

    /// Sweeps until this many test files are removed.
    fn sweep(&self, files: u64) -> Swept {
        let root = self.root.path();
        let before: u64 = parts(root).expect("read").iter().map(|(_, bytes)| bytes).sum();
        let mut in_use = InUse::default();
        in_use.note(&json!({"filenames": [format!("/t/libserde-{USED}.rlib")]}));
        let sweep = Sweep {
            root,
            cap: before.saturating_sub(files * FILE),
            since: self.now - Duration::from_secs(3600),
            in_use: &in_use,
        };
        sweep.run().expect("swept")
    }
}

#[test]
fn what_fits_is_left_alone() {
    let caches = Caches::new();
    caches.put_crate("target/debug", OLD, 9);
    let swept = caches.sweep(0);
    assert_eq!(swept.before, swept.after);
    assert!(caches.has(&format!("target/debug/deps/libserde-{OLD}.rlib")));
}

#[test]
fn incremental_state_then_oldest_artefacts_are_removed() {
    let caches = Caches::new();
    caches.put("target/debug/incremental/slipway-1abc/s-1/part.o", 2);
    for (hash, hours) in [(OLD, 5), (OLDER, 9), (USED, 99)] {
        caches.put_crate("target/debug", hash, hours);
    }
    caches.sweep(1);
    assert!(!caches.has("target/debug/incremental/slipway-1abc"));
    assert!(caches.has(&format!("target/debug/deps/libserde-{OLDER}.rlib")));

    let swept = caches.sweep(2);
    for gone in ["deps/libserde-H.rlib", ".fingerprint/serde-H", "build/serde-H"] {
        assert!(
            !caches.has(&format!("target/debug/{}", gone.replace('H', OLDER))),
            "{gone}"
        );
        assert!(
            caches.has(&format!("target/debug/{}", gone.replace('H', OLD))),
            "{gone}"
        );
    }
    let counted: u64 = parts(caches.root.path())
        .expect("read")
        .iter()
        .map(|(_, bytes)| bytes)
        .sum();
    // Removed folders have a small size too.
    assert!(
        counted.abs_diff(swept.after) < FILE,
        "{counted} and {}",
        swept.after
    );
}

#[test]
fn files_of_the_last_run_stay_whatever_their_size() {
    let caches = Caches::new();
    caches.put_crate("target/debug", USED, 99);
    caches.put_crate("target/agent/x86_64-unknown-linux-gnu/release", OLD, 0);
    caches.put_crate("target/debug", OLDER, 99);
    let handed_out = format!("target/debug/deps/libserde-{OLDER}.rlib");
    let root = caches.root.path();
    fs::hard_link(root.join(handed_out), root.join("target/debug/libserde.rlib")).expect("linked");
    caches.put("target/debug/incremental/slipway-1abc/s-1/part.o", 0);
    let swept = caches.sweep(3);
    assert_eq!(swept.before, swept.after, "nothing may be removed");
}

#[test]
fn where_another_cargo_builds_nothing_is_removed() {
    let caches = Caches::new();
    caches.put_crate("target/debug", OLD, 9);
    caches.put_crate("target/release", OLDER, 9);
    caches.put("target/debug/.cargo-lock", 9);
    let lock = File::open(caches.root.path().join("target/debug/.cargo-lock")).expect("opened");
    lock.lock().expect("locked");
    let swept = caches.sweep(6);
    assert_eq!(swept.busy, [caches.root.path().join("target/debug")]);
    assert!(caches.has(&format!("target/debug/deps/libserde-{OLD}.rlib")));
    assert!(!caches.has(&format!("target/release/deps/libserde-{OLDER}.rlib")));
}

#[test]
fn the_go_cache_loses_old_files_and_keeps_its_records() {
    let caches = Caches::new();
    caches.put("go-build/trim.txt", 99);
    caches.put("go-build/00/aa-d", 9);
    caches.put("go-build/ff/bb-d", 8);
    caches.sweep(1);
    assert!(!caches.has("go-build/00/aa-d"));
    assert!(caches.has("go-build/ff/bb-d") && caches.has("go-build/trim.txt"));
}

#[test]
fn of_versions_the_newest_stays_and_what_a_bed_runs() {
    let caches = Caches::new();
    for version in ["kube-1", "kube-2", "kube-3", "coredns-1"] {
        caches.put(&format!("bin/{version}/program"), 9);
    }
    // The age of a folder is the age of its files.
    for (version, hours) in [("kube-1", 7), ("kube-2", 6), ("kube-3", 5)] {
        let made = caches.now - Duration::from_secs(hours * 3600);
        File::open(caches.root.path().join("bin").join(version))
            .and_then(|folder| folder.set_times(FileTimes::new().set_modified(made)))
            .expect("dated");
    }
    let running = caches.root.path().join("bin/kube-1");
    fs::create_dir_all(caches.root.path().join("bed/test")).expect("made");
    fs::write(
        caches.root.path().join("bed/test/bed.json"),
        format!("{{\"kube\": {running:?}}}"),
    )
    .expect("written");
    caches.sweep(9);
    assert!(caches.has("bin/kube-1"), "a bed runs it");
    assert!(!caches.has("bin/kube-2"));
    assert!(caches.has("bin/kube-3") && caches.has("bin/coredns-1"));
}
