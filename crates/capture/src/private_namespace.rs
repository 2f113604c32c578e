//! Private namespace, in which every captured address is local, and the child process that makes and keeps it.
//!
//! Only a process with one thread can make a user namespace, and entering it later takes rights that only its maker
//! has. So a child makes it, passes its TUN out and stays to open listeners inside; the parent accepts on them from
//! outside. The child has no other purpose, and no user or file of its own.

mod back_end;
mod child;
mod listeners;
mod outwards;
mod wire;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use tokio::io::unix::AsyncFd;
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

pub(crate) use self::back_end::NamespaceBackEnd;
use self::wire::{Hello, Reply, Request, Step};
use crate::readiness::register;
use crate::tun::{self, Tun};
use crate::{CaptureError, NamespaceRemedy};

/// The first argument that makes a process the child.
const MARKER: &str = "--slipway-private-namespace";
/// How long the child may take to set the namespace up. It takes some milliseconds.
const START_LIMIT: Duration = Duration::from_secs(10);
/// How long the child may take to open a listener. It takes some microseconds.
const REQUEST_LIMIT: Duration = Duration::from_secs(2);

/// Runs the private namespace's process if this process was started for that; else returns at once.
///
/// Call it at the start of `main`, before any thread exists: only a process with one thread can make a user
/// namespace.
pub fn child_main_if_asked() {
    if std::env::args_os()
        .nth(1)
        .is_none_or(|argument| argument != MARKER)
    {
        return;
    }
    let served = io::stdin()
        .as_fd()
        .try_clone_to_owned()
        .and_then(|parent| child::run(parent.as_fd()));
    std::process::exit(i32::from(served.is_err()))
}

/// The parent's end. The namespace ends when this, its TUN and its listeners are dropped.
#[derive(Debug)]
pub(crate) struct PrivateNamespace {
    child: AsyncFd<OwnedFd>,
}

/// Tells when the child has ended.
#[derive(Debug, Clone)]
pub(crate) struct ChildEnd(watch::Receiver<bool>);

impl PrivateNamespace {
    /// Makes a namespace. Returns it with the TUN by which packets enter and leave it.
    pub(crate) async fn start() -> Result<(Self, Tun, ChildEnd), CaptureError> {
        let resources = |source| CaptureError::Resources { source };
        let not_started = |source| CaptureError::ChildNotStarted { source };
        let flags = SockFlag::SOCK_CLOEXEC;
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)
            .map_err(|errno| resources(errno.into()))?;
        socket2::SockRef::from(&ours)
            .set_nonblocking(true)
            .map_err(resources)?;
        let child = register(ours).map_err(resources)?;
        let end = keep_child(theirs).await?;

        let (message, file) = hello(&child).await.map_err(not_started)?;
        match (Hello::decode(&message), file) {
            (Some(Hello::Ready), Some(tun)) => {
                let tun = Tun::adopt(tun).map_err(|source| CaptureError::Tun { source })?;
                Ok((Self { child }, tun, end))
            }
            (Some(Hello::Failed(step, errno)), _) => Err(explain(step, io::Error::from_raw_os_error(errno))),
            (Some(Hello::Ready) | None, _) => Err(not_started(io::ErrorKind::UnexpectedEof.into())),
        }
    }

    /// Opens a listener inside the namespace, for every address, on `port`.
    pub(crate) async fn listener(&mut self, port: u16) -> io::Result<tokio::net::TcpListener> {
        let listener = timeout(REQUEST_LIMIT, self.request(port))
            .await
            .map_err(io::Error::from)??;
        tokio::net::TcpListener::from_std(listener.into())
    }

    async fn request(&mut self, port: u16) -> io::Result<OwnedFd> {
        // Sending does not block: a few octets fit the empty socket.
        wire::send(self.child.as_fd(), &Request { port }.encode(), None)?;
        loop {
            let (message, file) = receive(&self.child).await?;
            let Some(reply) = Reply::decode(&message) else {
                return Err(io::ErrorKind::UnexpectedEof.into());
            };
            // The answer to an earlier request that timed out comes first.
            if reply.port != port {
                continue;
            }
            return match (reply.errno, file) {
                (0, Some(listener)) => Ok(listener),
                (0, None) => Err(io::ErrorKind::InvalidData.into()),
                (errno, _) => Err(io::Error::from_raw_os_error(errno)),
            };
        }
    }
}

impl ChildEnd {
    /// Waits until the child has ended and left nothing behind.
    pub(crate) async fn wait(&mut self) {
        // An error means that the thread that waits for the child is gone, which is the end as well.
        drop(self.0.wait_for(|ended| *ended).await);
    }
}

/// Receives the child's first message.
async fn hello(child: &AsyncFd<OwnedFd>) -> io::Result<(Vec<u8>, Option<OwnedFd>)> {
    timeout(START_LIMIT, receive(child))
        .await
        .map_err(io::Error::from)?
}

async fn receive(child: &AsyncFd<OwnedFd>) -> io::Result<(Vec<u8>, Option<OwnedFd>)> {
    child
        .async_io(tokio::io::Interest::READABLE, |socket| {
            wire::receive(socket.as_fd())
        })
        .await
}

/// Starts the child from a thread of its own, which waits for the child's end.
///
/// The kernel ends the child with the thread that started it, so that must not be a thread of a pool, which may
/// end at any time.
async fn keep_child(socket: OwnedFd) -> Result<ChildEnd, CaptureError> {
    let (started, whether) = oneshot::channel();
    let (ended, end) = watch::channel(false);
    let keeper = move || {
        let child = spawn_child(socket);
        let mut child = match child {
            Ok(child) => child,
            Err(source) => return drop(started.send(Err(CaptureError::ChildNotStarted { source }))),
        };
        drop(started.send(Ok(())));
        match child.wait() {
            Ok(status) => tracing::debug!(%status, "the private namespace's process ended"),
            Err(error) => tracing::warn!(%error, "the private namespace's process could not be waited for"),
        }
        let _ = ended.send(true);
    };
    std::thread::Builder::new()
        .name("capture-child".to_owned())
        .spawn(keeper)
        .map_err(|source| CaptureError::Resources { source })?;
    let lost = CaptureError::ChildNotStarted {
        source: io::ErrorKind::BrokenPipe.into(),
    };
    whether.await.unwrap_or(Err(lost))?;
    Ok(ChildEnd(end))
}

fn spawn_child(socket: OwnedFd) -> io::Result<Child> {
    // Not by path: the file may have been replaced by an update since this process started.
    Command::new("/proc/self/exe")
        .arg(MARKER)
        .current_dir("/")
        // Ctrl-C in the terminal is for the parent, which still needs the child while it ends.
        .process_group(0)
        .stdin(Stdio::from(socket))
        .stdout(Stdio::null())
        .spawn()
}

/// Checks whether this user may open `/dev/net/tun`. It makes no device.
///
/// # Errors
/// [`CaptureError::TunDeviceMissing`], [`CaptureError::TunDeviceNotPermitted`].
pub fn check_tun() -> Result<(), CaptureError> {
    match tun::open() {
        Ok(_unattached) => Ok(()),
        Err(source) => Err(explain(Step::OpenTun, source)),
    }
}

fn explain(step: Step, source: io::Error) -> CaptureError {
    let denied = source.kind() == io::ErrorKind::PermissionDenied;
    match step {
        Step::OpenTun
            if source.kind() == io::ErrorKind::NotFound
                || is(&source, libc::ENODEV)
                || is(&source, libc::ENXIO) =>
        {
            CaptureError::TunDeviceMissing { source }
        }
        Step::OpenTun if denied => CaptureError::TunDeviceNotPermitted { source },
        Step::Namespaces => CaptureError::NamespacesRefused {
            remedy: remedy(&source),
            source,
        },
        // A security module may allow the namespace and deny every capability in it.
        Step::MapUser | Step::MakeTun | Step::Links | Step::Routes | Step::Rules if denied => {
            CaptureError::NamespacesRefused {
                remedy: remedy(&source),
                source,
            }
        }
        Step::MapUser | Step::OpenTun | Step::MakeTun | Step::Links | Step::Routes | Step::Rules => {
            CaptureError::NamespaceSetup {
                step: step.doing(),
                source,
            }
        }
    }
}

/// The remedy when the kernel refused a user and network namespace with `source`.
pub fn remedy(source: &io::Error) -> NamespaceRemedy {
    let setting = |name: &str| {
        std::fs::read_to_string(format!("/proc/sys/{name}"))
            .map(|value| value.trim().to_owned())
            .unwrap_or_default()
    };
    if is(source, libc::ENOSPC) || is(source, libc::EUSERS) || setting("user/max_user_namespaces") == "0" {
        NamespaceRemedy::Limit
    } else if setting("kernel/apparmor_restrict_unprivileged_userns") == "1" {
        NamespaceRemedy::AppArmor
    } else if setting("kernel/unprivileged_userns_clone") == "0" {
        NamespaceRemedy::SwitchedOff
    } else {
        NamespaceRemedy::Unknown
    }
}

fn is(error: &io::Error, errno: i32) -> bool {
    error.raw_os_error() == Some(errno)
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    /// The parent's end of a socket pair, and the other end, which sends nothing.
    fn silent_child() -> (AsyncFd<OwnedFd>, OwnedFd) {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags).unwrap();
        (register(ours).unwrap(), theirs)
    }

    #[tokio::test(start_paused = true)]
    async fn a_child_that_says_nothing_is_given_up() {
        let (child, _theirs) = silent_child();
        let began = Instant::now();
        let error = hello(&child).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(began.elapsed().as_secs(), START_LIMIT.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_child_that_gives_no_listener_is_not_waited_for() {
        let (child, _theirs) = silent_child();
        let mut namespace = PrivateNamespace { child };
        let began = Instant::now();
        let error = namespace.listener(443).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(began.elapsed().as_secs(), REQUEST_LIMIT.as_secs());
    }

    fn explained(step: Step, errno: i32) -> CaptureError {
        explain(step, io::Error::from_raw_os_error(errno))
    }

    #[test]
    fn each_refusal_names_its_cause() {
        use CaptureError as E;
        assert!(matches!(
            explained(Step::Namespaces, libc::EPERM),
            E::NamespacesRefused { .. }
        ));
        assert!(matches!(
            explained(Step::Rules, libc::EPERM),
            E::NamespacesRefused { .. }
        ));
        assert!(matches!(
            explained(Step::OpenTun, libc::ENOENT),
            E::TunDeviceMissing { .. }
        ));
        assert!(matches!(
            explained(Step::OpenTun, libc::EACCES),
            E::TunDeviceNotPermitted { .. }
        ));
        assert!(matches!(
            explained(Step::Routes, libc::EOPNOTSUPP),
            E::NamespaceSetup { .. }
        ));
        assert!(matches!(
            explained(Step::Namespaces, libc::ENOSPC),
            E::NamespacesRefused {
                remedy: NamespaceRemedy::Limit,
                ..
            }
        ));
    }
}
