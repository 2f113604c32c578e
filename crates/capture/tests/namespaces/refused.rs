//! A process that the kernel refuses namespaces, and what becomes of a capture there.

use std::os::fd::AsFd;
use std::process::{Command, Stdio};

use slipway_capture::{BackEnd, Capture, Choice};

use crate::far::{Far, Reverser};
use crate::laptop::{self, children_of};
use crate::promises::{assert_echo, connect};
use crate::{eventually, setup};

/// The argument that makes this program such a process. The next one says which back end it may use.
pub(crate) const REFUSED: &str = "--refused";

/// The choices that it is given.
const CHOICES: [Choice; 2] = [Choice::Auto, Choice::Only(BackEnd::PrivateNamespace)];

/// Starts a capture in such a process. Gives back which back end it used, or else the error as programs know it, as
/// people do, and its remedy, each on a line.
pub(crate) fn start_capture(choice: Choice) -> String {
    let child = || {
        Command::new("/proc/self/exe")
            .args([REFUSED, &format!("{choice:?}")])
            .stdin(Stdio::from(laptop::make_tun()))
            .stderr(Stdio::inherit())
            .output()
            .unwrap()
    };
    let output = tokio::task::block_in_place(child);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}");
    said
}

/// Has the kernel refuse this process namespaces: in one whose own limit of them is none.
fn refuse_namespaces() {
    let (user, group) = (nix::unistd::geteuid(), nix::unistd::getegid());
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWUSER).unwrap();
    for (file, line) in [
        ("/proc/self/setgroups", "deny".to_owned()),
        ("/proc/self/uid_map", format!("{user} {user} 1")),
        ("/proc/self/gid_map", format!("{group} {group} 1")),
        ("/proc/sys/user/max_user_namespaces", "0".to_owned()),
    ] {
        std::fs::write(file, line).unwrap();
    }
}

/// Starts a capture where the kernel refuses namespaces, uses it, and says which back end it was or why there is none.
pub(crate) fn be_refused() {
    let chosen = std::env::args().nth(2).unwrap();
    let choice = CHOICES
        .into_iter()
        .find(|choice| format!("{choice:?}") == chosen)
        .unwrap();
    refuse_namespaces();
    crate::runtime(1).block_on(async {
        let tun = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
        match Capture::start(tun, setup(choice), Far::new(), Reverser).await {
            Ok(capture) => {
                for place in ["10.96.0.10:80", "[fd00:96::10]:80"] {
                    assert_echo(&mut connect(place).await, b"through").await;
                }
                println!("{}", capture.back_end());
                capture.stop().await;
            }
            Err(error) => println!("{error:?}\n{error}\n{}", error.remedy()),
        }
        eventually("no process is left", || {
            children_of(std::process::id()).is_empty()
        })
        .await;
    });
}
