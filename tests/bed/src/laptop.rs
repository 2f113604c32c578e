//! Laptops of a bed: developers' machines.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::machine::{Machine, Runner};
use crate::processes::Daemon;
use crate::{Addresses, LaptopKind};

/// A laptop of a running bed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Laptop {
    pub(crate) kind: LaptopKind,
    pub(crate) machine: Machine,
    /// Its services.
    pub(crate) daemons: Vec<Daemon>,
    pub(crate) address: Ipv4Addr,
    pub(crate) node: Ipv4Addr,
    /// Folder on the host with programs of [`Laptop::install`], and locks.
    pub(crate) folder: PathBuf,
}

/// Exclusive use of a laptop, until this is dropped.
#[derive(Debug)]
pub struct LaptopLock {
    _file: File,
}

impl Laptop {
    /// User id of the ordinary user, who has a home and a kubeconfig.
    pub const USER: (&'static str, u32) = ("dev", 2000);
    /// User id of the helper.
    pub const HELPER: (&'static str, u32) = ("slipway-helper", 2001);
    /// Home of the ordinary user.
    pub const HOME: &'static str = "/home/dev";

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> LaptopKind {
        self.kind
    }

    /// Its address towards the API server.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// The node's address: the API server's and the name server's.
    #[must_use]
    pub fn node(&self) -> Ipv4Addr {
        self.node
    }

    /// The name of its network namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.machine.name()
    }

    /// Returns a command that the ordinary user runs at home. It inherits no environment, and has `KUBECONFIG`.
    pub fn command(
        &self,
        program: impl AsRef<OsStr>,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Command {
        let (name, id) = Self::USER;
        let mut command = self
            .machine
            .command(Runner::User(id), Path::new(Self::HOME), program, arguments);
        environment(&mut command, name, Self::HOME)
            .env("XDG_RUNTIME_DIR", format!("/run/user/{id}"))
            .env("KUBECONFIG", format!("{}/.kube/config", Self::HOME));
        command
    }

    /// Returns a command that root runs, with every capability.
    pub fn command_as_root(
        &self,
        program: impl AsRef<OsStr>,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Command {
        let mut command = self
            .machine
            .command(Runner::Root, Path::new("/"), program, arguments);
        environment(&mut command, "root", "/root");
        command
    }

    /// Returns a command that the helper's user runs as the packaged service does: with CAP_NET_ADMIN and no other
    /// privilege.
    pub fn command_as_helper(
        &self,
        program: impl AsRef<OsStr>,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Command {
        let (name, id) = Self::HELPER;
        let mut command = self
            .machine
            .command(Runner::NetworkAdmin(id), Path::new("/"), program, arguments);
        environment(&mut command, name, "/nonexistent");
        command
    }

    /// Copies a program of the host to `/usr/local/bin/NAME` of the laptop. A copy, so that it can be built again while the
    /// laptop runs it.
    pub fn install(&self, program: &Path, name: &str) -> Result<PathBuf> {
        let between = self.folder.join(name);
        fs::create_dir_all(&self.folder)?;
        fs::copy(program, &between).with_context(|| format!("copy {}", program.display()))?;
        let target = Path::new("/usr/local/bin").join(name);
        let (from, to) = (between.display().to_string(), target.display().to_string());
        self.machine.run("install", &["--mode=0755", &from, &to])?;
        Ok(target)
    }

    /// Writes a file of the laptop as root, mode 0644, with its parent folders.
    pub fn write(&self, path: &str, content: &str) -> Result<()> {
        self.machine.write(path, content)
    }

    /// Locks this laptop for a test that changes its network; waits until other tests have released it.
    pub fn lock(&self) -> Result<LaptopLock> {
        fs::create_dir_all(&self.folder)?;
        let file = File::create(self.folder.join("lock"))?;
        file.lock().context("lock the laptop")?;
        Ok(LaptopLock { _file: file })
    }

    /// Whether it and its services still run.
    pub(crate) fn runs(&self) -> bool {
        self.machine.runs() && self.daemons.iter().all(|daemon| daemon.process.runs())
    }
}

fn environment<'a>(command: &'a mut Command, user: &str, home: &str) -> &'a mut Command {
    command.env_clear().envs([
        ("HOME", home),
        ("USER", user),
        ("LOGNAME", user),
        ("SHELL", "/bin/sh"),
        ("LANG", "C.UTF-8"),
        (
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        ),
    ])
}

/// Sets up the users, the resolver and, for that kind, the firewall of a new machine.
pub(crate) fn furnish(
    machine: &Machine,
    kind: LaptopKind,
    addresses: Addresses,
    bed: &BedFiles<'_>,
) -> Result<()> {
    let (user, user_id) = Laptop::USER;
    let (helper, helper_id) = Laptop::HELPER;
    let home = Laptop::HOME;
    machine.append(
        "/etc/passwd",
        &format!(
            "{user}:x:{user_id}:{user_id}::{home}:/bin/bash\n{helper}:x:{helper_id}:{helper_id}::/nonexistent:/usr/sbin/nologin\n"
        ),
    )?;
    machine.append(
        "/etc/group",
        &format!("{user}:x:{user_id}:\n{helper}:x:{helper_id}:\n"),
    )?;
    let id = user_id.to_string();
    for folder in [home, &format!("{home}/.kube"), &format!("/run/user/{id}")] {
        machine.run(
            "install",
            &[
                "--directory",
                "--mode=0700",
                "--owner",
                &id,
                "--group",
                &id,
                folder,
            ],
        )?;
    }
    for (from, name) in [(bed.developer, "config"), (bed.admin, "admin")] {
        let (from, to) = (from.display().to_string(), format!("{home}/.kube/{name}"));
        machine.run(
            "install",
            &["--mode=0600", "--owner", &id, "--group", &id, &from, &to],
        )?;
    }
    machine.run(
        "ln",
        &["-sf", &bed.kube.display().to_string(), "/usr/local/bin/kubectl"],
    )?;
    machine.run(
        "sed",
        &["-i", "s/^hosts:.*/hosts: files dns/", "/etc/nsswitch.conf"],
    )?;
    machine.write(
        "/etc/hosts",
        "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n",
    )?;
    machine.write(
        "/etc/resolv.conf",
        &format!("nameserver {}\nsearch corp.internal\n", addresses.node()),
    )?;
    // As systemd sets it: ping needs no privilege.
    machine.run("sysctl", &["-qw", "net.ipv4.ping_group_range=0 2147483647"])?;
    if kind == LaptopKind::Firewall {
        machine.write("/etc/nftables.conf", FIREWALL)?;
        machine.run("nft", &["-f", "/etc/nftables.conf"])?;
    }
    Ok(())
}

/// Files of the bed for a laptop.
pub(crate) struct BedFiles<'a> {
    pub(crate) developer: &'a Path,
    pub(crate) admin: &'a Path,
    pub(crate) kube: &'a Path,
}

/// Rules of a usual desktop firewall: drops incoming packets that are not answers.
const FIREWALL: &str = "table inet firewall {
    chain input {
        type filter hook input priority filter; policy drop;
        ct state established,related accept
        iifname \"lo\" accept
    }
}
";
