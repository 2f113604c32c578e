//! Tests of rewriting alone: when it is chosen, what blocks it, and that its listener serves no other client.

use std::process::Command;
use std::time::Duration;

use slipway_capture::{BackEnd, Capture, CaptureError, Choice};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::far::{Far, Reverser};
use crate::laptop;
use crate::promises::{assert_echo, connect};
use crate::{refused, setup, start};

pub(crate) async fn a_firewall_that_lets_nothing_in_is_an_error_with_a_remedy() {
    laptop::build_wall();
    let only = setup(Choice::Only(BackEnd::Rewriting));
    let started = Capture::start(laptop::make_tun(), only, Far::new(), Reverser).await;
    laptop::tear_wall_down();
    let error = started.unwrap_err();
    assert!(
        matches!(error, CaptureError::RewritingBlocked { .. }),
        "{error:?}"
    );
    let said = error.remedy();
    assert!(
        said.contains("ufw allow in on slip0") && said.contains("--add-interface=slip0"),
        "{said}"
    );
    assert!(
        nix::net::if_::if_nametoindex(laptop::TUN).is_err(),
        "nothing is left"
    );
    let (capture, _far) = start().await;
    assert_echo(&mut connect("10.96.0.10:80").await, b"without it").await;
    capture.stop().await;
}

pub(crate) async fn where_namespaces_are_refused_packets_are_rewritten() {
    let said = refused::start_capture(Choice::Auto);
    assert_eq!(said, "rewriting\n");
}

pub(crate) async fn where_neither_works_both_causes_are_named() {
    laptop::build_wall();
    let said = refused::start_capture(Choice::Auto);
    laptop::tear_wall_down();
    for remedy in ["user.max_user_namespaces", "ufw allow in on slip0"] {
        assert!(said.contains(remedy), "{said}");
    }
}

pub(crate) async fn a_stranger_at_the_listener_gets_nothing() {
    let (capture, far) = start().await;
    let listeners = listening();
    assert_eq!(listeners.len(), 2, "one for each family: {listeners:?}");
    for listener in listeners {
        // By the loopback: it arrives, and is closed without a word.
        let mut stranger = timeout(Duration::from_secs(2), TcpStream::connect(&listener))
            .await
            .unwrap()
            .unwrap();
        let read = timeout(Duration::from_secs(2), stranger.read(&mut [0; 16]))
            .await
            .unwrap();
        assert!(matches!(read, Ok(0) | Err(_)), "{listener}: {read:?}");
    }
    assert_eq!(far.seen(), []);
    capture.stop().await;
    assert_eq!(listening(), [""; 0]);
}

/// The addresses that are listened on in this network namespace.
fn listening() -> Vec<String> {
    let output = Command::new("ss").args(["-Hltn"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .filter_map(|line| line.split_whitespace().nth(3).map(str::to_owned))
        .collect()
}
