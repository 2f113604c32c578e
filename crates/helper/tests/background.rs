//! Tests of a helper in the background, which serves one user until that user has logged out.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "functions of tests may panic"
)]

mod laptop;

use std::os::unix::net::UnixStream;
use std::process::Command;

use laptop::{connect, helper_path, on_a_laptop, run, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{getsockopt, sockopt};
use nix::unistd::Pid;
use slipway_helper_api::DEFAULT_SOCKET;
use slipway_helper_client::{Client, ClientError, Started};

/// A helper in the background, killed when this is dropped.
struct Background;

impl Background {
    /// Starts it, and returns when the program that was started has ended.
    fn start(arguments: &[&str]) -> Background {
        run("chown 0:0 /run/slipway-helper");
        let started = Command::new(helper_path())
            .args(["--allow-uid", "0", "--background"])
            .args(arguments)
            .output()
            .expect("it starts");
        let said = String::from_utf8_lossy(&started.stderr);
        assert!(started.status.success(), "{said}");
        Background
    }

    /// Stops the helper, if one runs, and returns when it has ended.
    fn stop() {
        run(&format!("{} --stop", helper_path().display()));
        assert_eq!(Background::pid(), None);
    }

    fn pid() -> Option<Pid> {
        let stream = UnixStream::connect(DEFAULT_SOCKET).ok()?;
        let peer = getsockopt(&stream, sockopt::PeerCredentials).ok()?;
        Some(Pid::from_raw(peer.pid()))
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(pid) = Background::pid() {
            let _ = kill(pid, Signal::SIGKILL);
        }
    }
}

#[test]
#[ignore = "needs root"]
fn a_helper_in_the_background_can_be_stopped() {
    on_a_laptop(|_laptop| async move {
        let _helper = Background::start(&[]);
        assert_eq!(connect().await.started(), &Started::InBackground);
        Background::stop();
        let gone = Client::connect(DEFAULT_SOCKET).await.expect_err("it has ended");
        assert!(matches!(gone, ClientError::NoHelper { .. }), "{gone}");
    });
}

#[test]
#[ignore = "needs root"]
fn a_helper_in_the_background_can_be_replaced() {
    on_a_laptop(|_laptop| async move {
        let _first = Background::start(&[]);
        let first = Background::pid().expect("it listens");
        let _second = Background::start(&["--replace"]);
        let second = Background::pid().expect("it listens");
        assert_ne!(first, second);
        Background::stop();
        Background::stop();
    });
}

#[test]
#[ignore = "needs root"]
fn a_helper_in_the_background_ends_with_the_login() {
    on_a_laptop(|_laptop| async move {
        run("install -d /run/user/0");
        let _helper = Background::start(&[]);
        drop(connect().await);
        run("rm -r /run/user/0");
        wait_until("the helper has ended", || Background::pid().is_none());
    });
}
