//! What is left of a capture when it ends, however it ends.

use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use slipway_capture::{BackEnd, Choice, Lost};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::far::Far;
use crate::laptop::{self, TUN, children_of, open_files, threads};
use crate::promises::{assert_echo, connect};
use crate::{eventually, refused, start, start_on};

/// The argument that makes this program one that is killed.
pub(crate) const VICTIM: &str = "--victim";
/// Tells the victim which back end is tested.
const BACK_END: &str = "SLIPWAY_TEST_BACK_END";
const SHORT: Duration = Duration::from_millis(300);

pub(crate) async fn after_the_stop_nothing_is_reachable_and_nothing_is_left() {
    let far = Far::new();
    // What the runtime opens on first use is not the capture's.
    tokio::task::spawn_blocking(|| {}).await.unwrap();
    let before = open_files();
    let keep = laptop::make_tun();
    let capture = start_on(keep.as_fd().try_clone_to_owned().unwrap(), &far).await;
    let replies = capture.replies();
    let mut program = connect("10.96.0.10:80").await;
    assert_echo(&mut program, b"open at the stop").await;
    let children = children_of(std::process::id());
    assert_eq!(children.len(), children_expected());

    capture.stop().await;
    assert!(timeout(SHORT, TcpStream::connect("10.96.0.10:80")).await.is_err());
    assert!(children_of(std::process::id()).is_empty());
    for child in children {
        assert!(!Path::new(&format!("/proc/{child}")).exists());
    }
    drop((keep, program));
    eventually(
        &format!("every file but {before:?} is closed, {:?}", open_files()),
        || open_files() == before,
    )
    .await;
    drop(replies);
}

pub(crate) async fn a_drop_ends_all_that_a_stop_ends() {
    let far = Far::new();
    tokio::task::spawn_blocking(|| {}).await.unwrap();
    let before = open_files();
    let capture = start_on(laptop::make_tun(), &far).await;
    assert_echo(&mut connect("10.96.0.10:80").await, b"works").await;
    drop(capture);
    eventually("the TUN is closed", || {
        nix::net::if_::if_nametoindex(TUN).is_err()
    })
    .await;
    eventually("the child has ended", || {
        children_of(std::process::id()).is_empty()
    })
    .await;
    eventually("the thread that keeps the child has ended", || {
        !threads().iter().any(|name| name.starts_with("capture-"))
    })
    .await;
    eventually(
        &format!("every file but {before:?} is closed, {:?}", open_files()),
        || open_files() == before,
    )
    .await;
}

pub(crate) async fn a_killed_session_leaves_nothing() {
    let tun = laptop::make_tun();
    let mut victim = Command::new("/proc/self/exe")
        .arg(VICTIM)
        .env(BACK_END, crate::back_end().to_string())
        .stdin(Stdio::from(tun))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = String::new();
    BufReader::new(victim.stdout.take().unwrap())
        .read_line(&mut ready)
        .unwrap();
    assert_eq!(ready, "ready\n");
    assert_echo(&mut connect("10.96.0.10:80").await, b"works").await;
    let children = children_of(victim.id());
    assert_eq!(children.len(), children_expected());

    victim.kill().unwrap();
    victim.wait().unwrap();
    eventually("the TUN is gone", || nix::net::if_::if_nametoindex(TUN).is_err()).await;
    for child in children {
        let namespace = format!("/proc/{child}");
        eventually("the private namespace's process is gone", || {
            !Path::new(&namespace).exists()
        })
        .await;
    }
}

/// Rewriting needs no process of its own.
fn children_expected() -> usize {
    usize::from(crate::back_end() == BackEnd::PrivateNamespace)
}

pub(crate) fn be_a_victim() {
    let rewriting = std::env::var(BACK_END).is_ok_and(|named| named == BackEnd::Rewriting.to_string());
    crate::REWRITING.store(rewriting, std::sync::atomic::Ordering::Relaxed);
    crate::runtime(1).block_on(async {
        let tun = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
        let null = std::fs::File::open("/dev/null").unwrap();
        nix::unistd::dup2_stdin(null).unwrap();
        let far = Far::new();
        let _capture = start_on(tun, &far).await;
        println!("ready");
        std::future::pending::<()>().await;
    });
}

pub(crate) async fn the_end_of_the_child_is_told() {
    let (capture, _far) = start().await;
    let mut program = connect("10.96.0.10:80").await;
    assert!(timeout(SHORT, capture.lost()).await.is_err());
    let child = children_of(std::process::id())[0];
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(child.try_into().unwrap()),
        nix::sys::signal::Signal::SIGKILL,
    )
    .unwrap();
    assert_eq!(capture.lost().await, Lost::Namespace);
    assert_echo(&mut program, b"goes on").await;
    assert_echo(&mut connect("10.96.0.11:80").await, b"its port is listened on").await;
    let error = TcpStream::connect("10.96.0.10:81").await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    capture.stop().await;
}

pub(crate) async fn a_refused_namespace_is_an_error_with_a_remedy() {
    let said = refused::start_capture(Choice::Only(BackEnd::PrivateNamespace));
    assert!(
        said.starts_with("NamespacesRefused") && said.contains("user.max_user_namespaces"),
        "{said}"
    );
}
