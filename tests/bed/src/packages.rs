//! Debian packages, unpacked into the cache and never installed: they would start services on the machine or
//! replace its resolver. A machine of the bed sees them as installed, as a layer of its root.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cache::{Cache, Key};
use crate::processes;
use crate::report::{self, Report};

/// The packages of one kind of machine, with those of their libraries that a small Debian may lack.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layer {
    name: &'static str,
    packages: &'static [&'static str],
}

/// The node: the container runtime, and what kube-proxy runs.
pub(crate) const NODE: Layer = Layer {
    name: "node",
    packages: &[
        "containerd",
        "runc",
        "libseccomp2",
        "containernetworking-plugins",
        "iptables",
        "libip4tc2",
        "libip6tc2",
        "libnetfilter-conntrack3",
        "libnfnetlink0",
        "nftables",
        "libnftables1",
        "libnftnl11",
        "libmnl0",
        "libjansson4",
        "libxtables12",
        "libedit2",
    ],
};

/// Every laptop: tools that tests and their readers want there.
pub(crate) const LAPTOP: Layer = Layer {
    name: "laptop",
    packages: &[
        "nftables",
        "libnftables1",
        "libnftnl11",
        "libmnl0",
        "libjansson4",
        "libxtables12",
        "libedit2",
        "iputils-ping",
        "bind9-dnsutils",
        "bind9-host",
        "bind9-libs",
        "libjemalloc2",
        "libprotobuf-c1",
        "tcpdump",
        "libpcap0.8",
    ],
};

/// The laptop with systemd-resolved.
pub(crate) const RESOLVED: Layer = Layer {
    name: "resolved",
    packages: &[
        "systemd-resolved",
        "libnss-resolve",
        "polkitd",
        "libduktape207",
        "libpolkit-agent-1-0",
        "libpolkit-gobject-1-0",
        "dbus-daemon",
        "dbus-bin",
        "dbus-system-bus-common",
    ],
};

/// What goes into images rather than on a machine.
pub(crate) const BUSYBOX: Layer = Layer {
    name: "busybox",
    packages: &["busybox-static"],
};

/// Programs that are nowhere installed, for tests that need no more of a bed than these.
#[derive(Debug, Clone)]
pub struct Unpacked {
    /// What stands in the place of `/` for systemd-resolved.
    pub resolved: PathBuf,
    /// The folder of `busybox`.
    pub busybox: PathBuf,
}

impl Unpacked {
    /// Where they are in the cache, once they are.
    ///
    /// # Errors
    ///
    /// When they can be neither found nor fetched.
    pub fn find() -> Result<Self> {
        let cache = Cache::of_user()?;
        Ok(Self {
            resolved: RESOLVED.unpack(&cache, &mut report::Silent)?,
            busybox: BUSYBOX.unpack(&cache, &mut report::Silent)?.join("usr/bin"),
        })
    }
}

impl Layer {
    /// Downloads and unpacks what the cache does not hold.
    pub(crate) fn unpack(self, cache: &Cache, report: &mut dyn Report) -> Result<PathBuf> {
        let key = self
            .packages
            .iter()
            .fold(Key::default(), |key, package| key.add(package));
        cache.keyed("debs", self.name, &key, |folder| {
            report::step(report, &format!("fetch packages of {}", self.name), || {
                let archives = folder.join(".archives");
                fs::create_dir(&archives)?;
                processes::run(
                    Command::new("apt-get")
                        .current_dir(&archives)
                        // Root's own: apt's unprivileged user cannot write into root's cache.
                        .args(["-qq", "-o", "APT::Sandbox::User=root", "download"])
                        .args(self.packages),
                )
                .context("is this Debian or Ubuntu, and has `apt-get update` been run?")?;
                for entry in fs::read_dir(&archives)? {
                    let archive = entry?.path();
                    processes::run(Command::new("dpkg-deb").arg("-x").arg(&archive).arg(folder))?;
                }
                fs::remove_dir_all(&archives)?;
                merge_usr(folder)
            })
        })
    }
}

/// Moves `/bin`, `/sbin` and `/lib` under `/usr`. Packages may still hold the former as folders, which on top
/// of a root where they are symbolic links would hide every library.
fn merge_usr(root: &Path) -> Result<()> {
    for name in ["bin", "sbin", "lib"] {
        let folder = root.join(name);
        if folder.is_dir() {
            merge(&folder, &root.join("usr").join(name))?;
        }
    }
    Ok(())
}

fn merge(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            merge(&entry.path(), &target)?;
        } else if target.symlink_metadata().is_ok() {
            bail!("two packages hold {}", target.display());
        } else if kind.is_symlink() {
            symlink(fs::read_link(entry.path())?, &target)?;
            fs::remove_file(entry.path())?;
        } else {
            fs::rename(entry.path(), &target)?;
        }
    }
    fs::remove_dir(from)?;
    Ok(())
}
