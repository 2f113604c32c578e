//! Debian packages, unpacked into the cache but not installed, because they would start services on the machine or
//! replace its resolver. A machine of the bed sees them as installed, in a layer of its root.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cache::{Cache, Key};
use crate::processes;
use crate::report::{self, Report};

/// Packages of one kind of machine, with libraries that a small Debian may lack.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layer {
    name: &'static str,
    packages: &'static [&'static str],
}

/// Packages of the node: the container runtime, and programs that kube-proxy runs.
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

/// Packages of every laptop: tools for tests and developers.
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

/// Packages of the laptop with systemd-resolved.
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

/// Packages for images.
pub(crate) const BUSYBOX: Layer = Layer {
    name: "busybox",
    packages: &["busybox-static"],
};

/// Unpacked programs, for tests that need no bed.
#[derive(Debug, Clone)]
pub struct Unpacked {
    /// Root folder of systemd-resolved.
    pub resolved: PathBuf,
    /// The folder of `busybox`.
    pub busybox: PathBuf,
}

impl Unpacked {
    /// Finds the programs in the cache; downloads them if they are missing.
    ///
    /// # Errors
    ///
    /// When they can be neither found nor downloaded.
    pub fn find() -> Result<Self> {
        let cache = Cache::of_user()?;
        Ok(Self {
            resolved: RESOLVED.unpack(&cache, &mut report::Silent)?,
            busybox: BUSYBOX.unpack(&cache, &mut report::Silent)?.join("usr/bin"),
        })
    }
}

impl Layer {
    /// Downloads and unpacks packages that the cache lacks.
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
                        // As root, because apt's unprivileged user cannot write to root's cache.
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

/// Moves `/bin`, `/sbin` and `/lib` to `/usr`. Packages may have them as folders, which would hide the symbolic links of
/// the root below, and with them every library.
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
