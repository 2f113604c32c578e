//! A machine of the bed: a network namespace with a name, and a mount namespace that a waiting process holds.
//!
//! Its root is an overlay: the host's files below, and on top of them a layer in memory, with unpacked packages and
//! whatever is written. `/run`, `/tmp` and `/dev/net/tun` are its own. Nothing that is done there reaches the host's files, and all
//! of it is gone when the last process of the machine is.

use std::ffi::{OsStr, OsString};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::unistd::{chdir, pivot_root};
use serde::{Deserialize, Serialize};

use crate::namespace;
use crate::processes::{self, Daemon, ProcessId};

/// What a machine is made of.
pub(crate) struct Plan<'a> {
    /// The name of its network namespace.
    pub(crate) name: &'a str,
    /// Unpacked packages.
    pub(crate) layers: &'a [PathBuf],
    /// Folders of the host that are the same folders in the machine. The logs are in one of them.
    pub(crate) shared: &'a [PathBuf],
    /// Where the machine is put together; an empty folder of the host.
    pub(crate) scratch: &'a Path,
    /// Where the log of the process that holds it goes.
    pub(crate) logs: &'a Path,
    /// The program that is its process 1, if it has process numbers of its own. Then all its processes,
    /// containers included, end with that one.
    pub(crate) first_process: Option<&'a [&'a OsStr]>,
}

/// A running machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Machine {
    name: String,
    holder: ProcessId,
    own_processes: bool,
}

/// Who runs a program in a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Runner {
    /// With every capability.
    Root,
    /// An ordinary user, and a group of the same number.
    User(u32),
    /// A user with CAP_NET_ADMIN, and no way to more.
    NetworkAdmin(u32),
}

/// How long a machine may take until its first process has begun.
const START_LIMIT: Duration = Duration::from_secs(10);

impl Machine {
    /// Makes it, with its loopback up and no other link.
    pub(crate) fn make(plan: Plan<'_>) -> Result<Self> {
        namespace::add(plan.name)?;
        // Namespaces are left and entered by a thread of its own, which ends with them.
        let holder = thread::scope(|scope| {
            scope
                .spawn(|| hold(&plan))
                .join()
                .map_err(|_| anyhow!("the thread that makes {} panicked", plan.name))?
        })?;
        let own_processes = plan.first_process.is_some();
        let machine = Self {
            name: plan.name.to_owned(),
            holder: holder.process,
            own_processes,
        };
        if own_processes {
            // Whoever enters before the first process would be the first.
            let children = format!("/proc/{0}/task/{0}/children", holder.process.pid);
            holder.wait_until("ready", START_LIMIT, || {
                fs::read_to_string(&children).is_ok_and(|children| !children.is_empty())
            })?;
            machine.run("mount", &["-t", "proc", "proc", "/proc"])?;
        }
        Ok(machine)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn runs(&self) -> bool {
        self.holder.runs()
    }

    /// A program in the machine, started in `folder` of the machine ([`Command::current_dir`] is about the host).
    pub(crate) fn command(
        &self,
        runner: Runner,
        folder: &Path,
        program: impl AsRef<OsStr>,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Command {
        let holder = self.holder.pid;
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--target={holder}"))
            .args(["--net", "--mount"]);
        if self.own_processes {
            command.arg(format!("--pid=/proc/{holder}/ns/pid_for_children"));
        }
        let mut start_in = OsString::from("--wdns=");
        start_in.push(folder);
        command.arg(start_in).arg("--");
        match runner {
            Runner::Root => {}
            Runner::User(id) => {
                command
                    .arg("setpriv")
                    .args(identity(id))
                    .args(["--inh-caps=-all", "--"]);
            }
            Runner::NetworkAdmin(id) => {
                command.arg("setpriv").args(identity(id)).args([
                    "--inh-caps=-all,+net_admin",
                    "--ambient-caps=-all,+net_admin",
                    "--bounding-set=-all,+net_admin",
                    "--no-new-privs",
                    "--",
                ]);
            }
        }
        command.arg(program).args(arguments);
        command
    }

    /// A program that root runs with the machine's files and the caller's network.
    pub(crate) fn command_outside(
        &self,
        program: impl AsRef<OsStr>,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--target={}", self.holder.pid))
            .args(["--mount", "--wdns=/", "--"])
            .arg(program)
            .args(arguments);
        command
    }

    /// Runs a program as root to its end, with `/` as its folder.
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> Result<String> {
        processes::run(&mut self.command(Runner::Root, Path::new("/"), program, arguments))
    }

    /// Writes a file of the machine, replacing what is there, a symbolic link included.
    pub(crate) fn write(&self, path: &str, content: &str) -> Result<()> {
        let script = "mkdir -p \"${1%/*}\" && rm -f \"$1\" && printf %s \"$2\" > \"$1\"";
        self.run("sh", &["-c", script, "write", path, content]).map(drop)
    }

    /// Adds to the end of a file of the machine.
    pub(crate) fn append(&self, path: &str, content: &str) -> Result<()> {
        self.run(
            "sh",
            &["-c", "printf %s \"$2\" >> \"$1\"", "append", path, content],
        )
        .map(drop)
    }
}

fn identity(id: u32) -> [String; 3] {
    [
        format!("--reuid={id}"),
        format!("--regid={id}"),
        "--clear-groups".to_owned(),
    ]
}

/// Puts the machine together around the calling thread, and starts the process that holds it.
fn hold(plan: &Plan<'_>) -> Result<Daemon> {
    let network = namespace::open(plan.name)?;
    unshare(CloneFlags::CLONE_NEWNS).context("leave the mount namespace")?;
    setns(network, CloneFlags::CLONE_NEWNET).context("enter the network namespace")?;
    // From here on no mount is seen by the host.
    mount_flags("/", MsFlags::MS_REC | MsFlags::MS_PRIVATE)?;

    let root = assemble(plan)?;
    let old = root.join("run/old-root");
    fs::create_dir_all(&old)?;
    pivot_root(&root, &old).context("pivot_root")?;
    chdir("/")?;
    umount2("/run/old-root", MntFlags::MNT_DETACH).context("unmount the old root")?;
    fs::remove_dir("/run/old-root")?;
    for folder in plan.shared {
        open_way_to(folder)?;
    }

    let mut holder = match plan.first_process {
        None => {
            let mut command = Command::new("sleep");
            command.arg("infinity");
            command
        }
        Some(program) => {
            let mut command = Command::new("unshare");
            command
                .args(["--pid", "--fork", "--kill-child", "--"])
                .args(program);
            command
        }
    };
    Daemon::start(plan.name, plan.logs, &mut holder)
}

/// Where what is written on a machine goes; it names the machine's root in every list of mounts.
pub(crate) fn upper(scratch: &Path) -> PathBuf {
    scratch.join("upper")
}

/// Mounts the machine's root; returns where.
fn assemble(plan: &Plan<'_>) -> Result<PathBuf> {
    let scratch = plan.scratch;
    mount_new("tmpfs", scratch, "mode=0755")?;
    let (upper, work, root) = (upper(scratch), scratch.join("work"), scratch.join("root"));
    for folder in [&upper, &work, &root] {
        fs::create_dir(folder)?;
    }
    // Copied, as one lower layer may not lie within another, and the cache usually lies within the root.
    for layer in plan.layers {
        processes::run(
            Command::new("cp")
                .arg("--archive")
                .arg(layer.join("."))
                .arg(&upper),
        )?;
    }
    let options = format!(
        "lowerdir=/,upperdir={},workdir={}",
        upper.display(),
        work.display()
    );
    mount_new("overlay", &root, &options)?;

    bind(Path::new("/proc"), &root.join("proc"))?;
    // A /sys made in the network namespace shows that namespace's links.
    mount_new("sysfs", &root.join("sys"), "")?;
    bind(Path::new("/sys/fs/cgroup"), &root.join("sys/fs/cgroup"))?;
    bind(Path::new("/dev"), &root.join("dev"))?;
    mount_new("tmpfs", &root.join("dev/net"), "mode=0755")?;
    let tun = root.join("dev/net/tun");
    mknod(&tun, SFlag::S_IFCHR, Mode::empty(), makedev(10, 200)).context("make /dev/net/tun")?;
    // Not by mknod, which the umask would narrow.
    fs::set_permissions(&tun, Permissions::from_mode(0o666))?;
    mount_new("tmpfs", &root.join("run"), "mode=0755")?;
    mount_new("tmpfs", &root.join("tmp"), "mode=1777")?;
    mount_new("tmpfs", &root.join("home"), "mode=0755")?;
    for folder in plan.shared {
        let inside = root.join(
            folder
                .strip_prefix("/")
                .context("a shared folder is not absolute")?,
        );
        fs::create_dir_all(&inside)?;
        bind(folder, &inside)?;
    }
    Ok(root)
}

/// Lets everyone pass through the folders above `folder`: on the host a home is often closed to others.
fn open_way_to(folder: &Path) -> Result<()> {
    for above in folder.ancestors().skip(1) {
        let mode = fs::metadata(above)
            .with_context(|| format!("look at {}", above.display()))?
            .permissions()
            .mode();
        if mode & 0o001 == 0 {
            fs::set_permissions(above, Permissions::from_mode(mode & 0o7777 | 0o011))?;
        }
    }
    Ok(())
}

fn mount_new(kind: &str, on: &Path, options: &str) -> Result<()> {
    mount(Some(kind), on, Some(kind), MsFlags::empty(), Some(options))
        .with_context(|| format!("mount {kind} on {} ({options})", on.display()))
}

fn bind(from: &Path, on: &Path) -> Result<()> {
    mount(
        Some(from),
        on,
        None::<&str>,
        MsFlags::MS_BIND | MsFlags::MS_REC,
        None::<&str>,
    )
    .with_context(|| format!("bind {} on {}", from.display(), on.display()))
}

fn mount_flags(on: &str, flags: MsFlags) -> Result<()> {
    mount(None::<&str>, on, None::<&str>, flags, None::<&str>)
        .with_context(|| format!("set flags of mount {on}"))
}
