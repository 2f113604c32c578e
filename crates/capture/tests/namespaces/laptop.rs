//! A laptop of the tests' own: network and mount namespaces, a TUN with routes, and an ordinary user.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::unistd::{Gid, Uid, geteuid, setgroups, setresgid, setresuid};

pub(crate) const TUN: &str = "slip0";
pub(crate) const RESOLVER: &str = "198.18.0.2";
/// The laptop's own address in the TUN and one beside it, for each family.
pub(crate) const ADDRESSES: [(&str, &str); 2] = [("198.18.0.1", RESOLVER), ("fd00:18::1", "fd00:18::2")];
const USER: u32 = 65534;

/// Moves this process into namespaces of its own, as an ordinary user who can become root again.
///
/// Call it while there is one thread.
pub(crate) fn enter() -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)?;
    mount(
        None::<&str>,
        "/",
        None::<&str>,
        MsFlags::MS_REC | MsFlags::MS_PRIVATE,
        None::<&str>,
    )?;
    // The device for everybody, as on any distribution. A node made elsewhere may be for root alone.
    mount(
        Some("none"),
        "/mnt",
        Some("tmpfs"),
        MsFlags::empty(),
        None::<&str>,
    )?;
    mknod("/mnt/tun", SFlag::S_IFCHR, Mode::empty(), makedev(10, 200))?;
    fs::set_permissions("/mnt/tun", std::os::unix::fs::PermissionsExt::from_mode(0o666))?;
    mount(
        Some("/mnt/tun"),
        "/dev/net/tun",
        None::<&str>,
        MsFlags::MS_BIND,
        None::<&str>,
    )?;
    ip("link set lo up");
    setgroups(&[])?;
    setresgid(Gid::from_raw(USER), Gid::from_raw(USER), Gid::from_raw(0))?;
    setresuid(Uid::from_raw(USER), Uid::from_raw(USER), Uid::from_raw(0))?;
    assert_eq!(geteuid().as_raw(), USER);
    Ok(())
}

/// Does something as root, and is an ordinary user again.
pub(crate) fn as_root<T>(act: impl FnOnce() -> T) -> T {
    nix::unistd::seteuid(Uid::from_raw(0)).unwrap();
    let done = act();
    nix::unistd::seteuid(Uid::from_raw(USER)).unwrap();
    done
}

/// Makes the TUN with addresses and captured ranges, as the helper does.
pub(crate) fn make_tun() -> OwnedFd {
    as_root(|| {
        let tun = slipway_capture::make_tun(TUN).unwrap();
        ip(&format!("link set {TUN} mtu 65535 up"));
        ip(&format!("addr add 198.18.0.1/30 dev {TUN}"));
        ip(&format!("-6 addr add fd00:18::1/64 dev {TUN} nodad"));
        ip(&format!("route add 10.96.0.0/16 dev {TUN}"));
        ip(&format!("-6 route add fd00:96::/64 dev {TUN}"));
        tun
    })
}

/// Runs `ip` in the laptop's namespace. The caller is root.
pub(crate) fn ip(arguments: &str) {
    run("ip", &arguments.split_whitespace().collect::<Vec<_>>());
}

pub(crate) fn run(program: &str, arguments: &[&str]) {
    // Root in every respect: some programs end at once where real and effective user differ.
    let status = Command::new(program)
        .args(arguments)
        .uid(0)
        .gid(0)
        .status()
        .unwrap();
    assert!(status.success(), "{program} {arguments:?}: {status}");
}

/// A firewall that lets in what the laptop itself asked for, and nothing else.
pub(crate) fn build_wall() {
    as_root(|| {
        for rule in [
            "add table inet wall",
            "add chain inet wall in { type filter hook input priority 0; policy drop; }",
            "add rule inet wall in ct state established,related accept",
            "add rule inet wall in iif lo accept",
        ] {
            run("nft", &[rule]);
        }
    });
}

/// Takes it away again.
pub(crate) fn tear_wall_down() {
    as_root(|| run("nft", &["delete table inet wall"]));
}

/// Whether a program is installed.
pub(crate) fn has(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}

/// The processes whose parent is `parent`.
pub(crate) fn children_of(parent: u32) -> Vec<u32> {
    let wanted = format!("PPid:\t{parent}");
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|process| {
            fs::read_to_string(format!("/proc/{process}/status"))
                .is_ok_and(|status| status.lines().any(|line| line == wanted))
        })
        .collect()
}

/// What files this process has open, sorted.
pub(crate) fn open_files() -> Vec<String> {
    let files = fs::read_dir("/proc/self/fd").unwrap().flatten();
    let mut names: Vec<String> = files
        .filter_map(|file| Some(fs::read_link(file.path()).ok()?.to_string_lossy().into_owned()))
        .collect();
    names.sort();
    names
}

/// The names of this process's threads.
pub(crate) fn threads() -> Vec<String> {
    let threads = fs::read_dir("/proc/self/task").unwrap().flatten();
    threads
        .filter_map(|thread| fs::read_to_string(thread.path().join("comm")).ok())
        .map(|name| name.trim().to_owned())
        .collect()
}
