//! What a program sees while this process has no descriptor left.

use std::fs::File;
use std::io::ErrorKind;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::io::AsyncReadExt;
use tokio::net::TcpSocket;

use crate::laptop::open_files;
use crate::promises::{assert_echo, connect};
use crate::start;

/// Takes all descriptors of this process, until this is dropped.
struct Taken {
    _files: Vec<File>,
    soft: u64,
    hard: u64,
}

impl Taken {
    fn all() -> Self {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        let few = open_files().len() as u64 + 64;
        setrlimit(Resource::RLIMIT_NOFILE, few.min(soft), hard).unwrap();
        let _files = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
        Self { _files, soft, hard }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        setrlimit(Resource::RLIMIT_NOFILE, self.soft, self.hard).unwrap();
    }
}

pub(crate) async fn without_a_descriptor_a_program_is_reset_and_does_not_wait() {
    let (capture, _far) = start().await;
    let mut earlier = connect("10.96.0.10:80").await;
    assert_echo(&mut earlier, b"accepted").await;
    let socket = TcpSocket::new_v4().unwrap();
    let taken = Taken::all();
    // The reset may come before or after the return of `connect()`.
    let reset = match socket.connect("10.96.0.10:80".parse().unwrap()).await {
        Ok(mut program) => program.read(&mut [0]).await.unwrap_err(),
        Err(error) => error,
    };
    assert_eq!(reset.kind(), ErrorKind::ConnectionReset);
    assert_echo(&mut earlier, b"an open connection goes on").await;
    drop(taken);
    assert_echo(&mut connect("10.96.0.10:80").await, b"there is room again").await;
    capture.stop().await;
}
