//! Machine of the bed: a named network namespace, and a mount namespace that a waiting process holds.
//!
//! Its root is an overlay: the host's files, and above them a layer in memory with unpacked packages and all changes.
//! `/run`, `/tmp` and `/dev/net/tun` are its own. Changes never reach the host's files, and are gone when the last
//! process of the machine ends.

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

/// Plan of a machine.
pub(crate) struct Plan<'a> {
    /// The name of its network namespace.
    pub(crate) name: &'a str,
    /// Unpacked packages.
    pub(crate) layers: &'a [PathBuf],
    /// Folders that the host and the machine share. The logs are in one of them.
    pub(crate) shared: &'a [PathBuf],
    /// An empty folder of the host, in which the machine's root is assembled.
    pub(crate) scratch: &'a Path,
    /// Folder for the log of the process that holds it.
    pub(crate) logs: &'a Path,
    /// The program that is its process 1, if it has its own PID namespace. Then all its processes, including containers,
    /// end with that one.
    pub(crate) first_process: Option<&'a [&'a OsStr]>,
}

/// A running machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Machine {
    name: String,
    holder: ProcessId,
    own_processes: bool,
}

/// User of a program in a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Runner {
    /// Root, with every capability.
    Root,
    /// An ordinary user, with a group of the same id.
    User(u32),
    /// A user with CAP_NET_ADMIN and no other privilege.
    NetworkAdmin(u32),
}

/// How long a machine may take to start its first process.
const START_LIMIT: Duration = Duration::from_secs(10);

impl Machine {
    /// Creates the machine, with its loopback up and no other link.
    pub(crate) fn make(plan: Plan<'_>) -> Result<Self> {
        namespace::add(plan.name)?;
        // A separate thread enters the namespaces, and then ends.
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
            // A process that enters before process 1 would itself be process 1.
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

    /// Returns a command in the machine, started in `folder` of the machine ([`Command::current_dir`] is a folder of the
    /// host).
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

    /// Returns a command that root runs with the machine's files and the caller's network.
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

    /// Runs a program as root in `/`, and waits for its end.
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> Result<String> {
        processes::run(&mut self.command(Runner::Root, Path::new("/"), program, arguments))
    }

    /// Writes a file of the machine; replaces an existing file or symbolic link.
    pub(crate) fn write(&self, path: &str, content: &str) -> Result<()> {
        let script = "mkdir -p \"${1%/*}\" && rm -f \"$1\" && printf %s \"$2\" > \"$1\"";
        self.run("sh", &["-c", script, "write", path, content]).map(drop)
    }

    /// Appends to a file of the machine.
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

/// Assembles the machine in the calling thread, and starts the process that holds it.
fn hold(plan: &Plan<'_>) -> Result<Daemon> {
    let network = namespace::open(plan.name)?;
    unshare(CloneFlags::CLONE_NEWNS).context("leave the mount namespace")?;
    setns(network, CloneFlags::CLONE_NEWNET).context("enter the network namespace")?;
    // From here on the host sees no mount.
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

/// Returns the folder of a machine's changes; it identifies the machine's root in every list of mounts.
pub(crate) fn upper(scratch: &Path) -> PathBuf {
    scratch.join("upper")
}

/// Mounts the machine's root, and returns its path.
fn assemble(plan: &Plan<'_>) -> Result<PathBuf> {
    let scratch = plan.scratch;
    mount_new("tmpfs", scratch, "mode=0755")?;
    let (upper, work, root) = (upper(scratch), scratch.join("work"), scratch.join("root"));
    for folder in [&upper, &work, &root] {
        fs::create_dir(folder)?;
    }
    // Copied, because a lower layer must not be within another, and the cache is usually within the root.
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
    // A /sys that is mounted in the network namespace shows that namespace's links.
    mount_new("sysfs", &root.join("sys"), "")?;
    bind(Path::new("/sys/fs/cgroup"), &root.join("sys/fs/cgroup"))?;
    bind(Path::new("/dev"), &root.join("dev"))?;
    mount_new("tmpfs", &root.join("dev/net"), "mode=0755")?;
    let tun = root.join("dev/net/tun");
    mknod(&tun, SFlag::S_IFCHR, Mode::empty(), makedev(10, 200)).context("make /dev/net/tun")?;
    // Set separately, because the umask limits the mode of mknod.
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

/// Lets all users traverse the folders above `folder`, because a home on the host is often closed to others.
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
