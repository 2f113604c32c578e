//! Tests that `down` leaves nothing. They need root, and make a second bed.

#![expect(clippy::unwrap_used, reason = "what a test needs and cannot have ends it")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sched::{CloneFlags, setns};
use slipway_bed::{Bed, BedName, Existing, LaptopKind, Silent};

/// Finds all traces of bed `name` on the machine: namespaces, mounts, control groups, files, processes.
fn traces(name: &str) -> Vec<String> {
    let mark = format!("slw-{name}");
    let folder = format!("slipway/bed/{name}");
    let mut found = Vec::new();
    let mut look = |source: &str, lines: String| {
        let of_bed = |line: &&str| line.contains(&mark) || line.contains(&folder);
        found.extend(
            lines
                .lines()
                .filter(of_bed)
                .map(|line| format!("{source}: {line}")),
        );
    };
    let run = |program: &str, arguments: &[&str]| {
        String::from_utf8(Command::new(program).args(arguments).output().unwrap().stdout).unwrap()
    };
    look("namespace", run("ip", &["netns", "list"]));
    look("link", run("ip", &["-oneline", "link"]));
    look("mount", fs::read_to_string("/proc/self/mountinfo").unwrap());
    look(
        "group",
        run("find", &["/sys/fs/cgroup", "-maxdepth", "2", "-name", &mark]),
    );
    for process in fs::read_dir("/proc").unwrap() {
        let process = process.unwrap().path();
        if process
            .file_name()
            .is_some_and(|name| name.to_string_lossy().parse::<u32>().is_ok())
        {
            // A process that has ended has no traces.
            look(
                "process",
                fs::read_to_string(process.join("cmdline"))
                    .unwrap_or_default()
                    .replace('\0', " "),
            );
            look(
                "member",
                fs::read_to_string(process.join("cgroup")).unwrap_or_default(),
            );
        }
    }
    found
}

fn state_folder(name: &str) -> std::path::PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(
        || Path::new(&std::env::var_os("HOME").unwrap()).join(".cache"),
        std::path::PathBuf::from,
    );
    cache.join("slipway/bed").join(name)
}

#[test]
#[ignore = "needs root"]
fn down_leaves_nothing_of_a_whole_bed_and_of_a_broken_one() {
    let word = "downproof";
    let name: BedName = word.parse().unwrap();
    Bed::down(&name).unwrap();
    assert_eq!(traces(word), Vec::<String>::new());

    let bed = Bed::up(&name, &mut Silent).unwrap();
    assert!(
        traces(word).len() > 20,
        "the traces are not seen: {:?}",
        traces(word)
    );
    // Processes of users, one of them in its own namespace.
    let laptop = bed.laptop(LaptopKind::Plain).unwrap();
    let mut left = laptop
        .command("sleep", ["1000"])
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let mut hidden = laptop
        .command(
            "unshare",
            ["--map-root-user", "--net", "--mount", "sleep", "1000"],
        )
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(200));
    assert!(left.try_wait().unwrap().is_none() && hidden.try_wait().unwrap().is_none());
    Bed::down(&name).unwrap();
    assert!(!left.wait().unwrap().success() && !hidden.wait().unwrap().success());
    assert_eq!(traces(word), Vec::<String>::new());
    assert!(!state_folder(word).exists());

    // A bed without its records and its first process, as after a crash of `up`.
    let bed = Bed::up(&name, &mut Silent).unwrap();
    fs::remove_file(state_folder(word).join("bed.json")).unwrap();
    let node = bed.kubectl(["version"]).status().unwrap();
    assert!(node.success());
    assert!(!Bed::status(&name).unwrap().up);
    Bed::down(&name).unwrap();
    assert_eq!(traces(word), Vec::<String>::new());
    Bed::down(&name).unwrap();
}

/// The existing cluster is that of the default bed. Its API server is reachable from its laptops, so the other bed is
/// made in the network of one of them.
#[test]
#[ignore = "needs root"]
fn laptops_reach_an_existing_cluster_only_by_the_relay() {
    let first = Bed::up(&BedName::of_tests().unwrap(), &mut Silent).unwrap();
    let word = "relayproof";
    let name: BedName = word.parse().unwrap();
    Bed::down(&name).unwrap();
    let existing = Existing {
        context: first.name().to_string(),
        kubeconfig: Some(first.kubeconfig("admin")),
    };
    let from = fs::File::open(format!(
        "/run/netns/{}",
        first.laptop(LaptopKind::Plain).unwrap().namespace()
    ))
    .unwrap();
    // A separate thread enters that network, and then ends.
    let made = std::thread::scope(|scope| {
        let make = || {
            setns(&from, CloneFlags::CLONE_NEWNET).unwrap();
            Bed::up_on(&name, &existing, &mut Silent)
        };
        scope.spawn(make).join().unwrap()
    });
    let bed = made.unwrap();
    let relayed = traces(word)
        .iter()
        .filter(|trace| trace.starts_with("process") && trace.contains(" relay "))
        .count();
    assert!(
        relayed >= 2,
        "both halves of the relay are seen: {:?}",
        traces(word)
    );

    let laptop = bed.laptop(LaptopKind::Plain).unwrap();
    let asked = |arguments: &[&str]| laptop.command("kubectl", arguments).output().unwrap();
    let pods = asked(&["get", "pods", "--output=name"]);
    assert!(
        String::from_utf8_lossy(&pods.stdout).contains("pod/web-"),
        "{pods:?}"
    );
    let nodes = asked(&["get", "nodes"]);
    assert!(!nodes.status.success(), "the developer is no administrator");
    let service = format!("http://{}/", first.addresses().unwrap().kubernetes());
    let reached = laptop
        .command("curl", ["--silent", "--max-time", "2", &service])
        .output()
        .unwrap();
    assert!(!reached.status.success(), "nothing but the API server is reached");

    Bed::down(&name).unwrap();
    assert_eq!(traces(word), Vec::<String>::new());
    let pods = first
        .kubectl(["get", "pods", "--namespace=shop", "--output=name"])
        .output()
        .unwrap();
    assert!(
        String::from_utf8_lossy(&pods.stdout).contains("pod/web-"),
        "the cluster is not the bed's to end"
    );
}
