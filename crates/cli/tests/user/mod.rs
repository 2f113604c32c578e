//! A user of the command line, without a cluster.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::fs;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::process::{Command, Output, Stdio};

/// A user with an empty home folder, and a kubeconfig whose API server refuses connections.
pub(crate) struct User {
    pub(crate) home: tempfile::TempDir,
}

const KUBECONFIG: &str = "\
apiVersion: v1
kind: Config
current-context: nowhere
clusters: [{name: nowhere, cluster: {server: 'http://127.0.0.1:1'}}]
users: [{name: dev, user: {token: sesame}}]
contexts: [{name: nowhere, context: {cluster: nowhere, user: dev, namespace: shop}}]
";

impl User {
    pub(crate) fn new() -> User {
        let home = tempfile::tempdir().unwrap();
        fs::DirBuilder::new()
            .mode(0o700)
            .create(home.path().join("run"))
            .unwrap();
        fs::write(home.path().join("kubeconfig"), KUBECONFIG).unwrap();
        User { home }
    }

    pub(crate) fn slipway(&self, arguments: &[&str]) -> Output {
        self.with("EDITOR", "true", arguments)
    }

    pub(crate) fn with(&self, name: &str, value: &str, arguments: &[&str]) -> Output {
        self.command(name, value, arguments).output().unwrap()
    }

    /// Runs a command that reads this text from standard input.
    pub(crate) fn fed(&self, text: &str, arguments: &[&str]) -> Output {
        let mut command = self.command("EDITOR", "true", arguments);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    pub(crate) fn command(&self, name: &str, value: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_slipway"));
        command
            .args(arguments)
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .env("HOME", self.home.path())
            .env("TMPDIR", self.home.path())
            .env("XDG_RUNTIME_DIR", self.home.path().join("run"))
            .env("KUBECONFIG", self.home.path().join("kubeconfig"))
            .env("SLIPWAY_HELPER_SOCKET", self.home.path().join("no-helper.sock"))
            .env(name, value)
            .stdin(Stdio::null());
        command
    }
}

pub(crate) fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

pub(crate) fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

pub(crate) fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}
