//! Where a program is looked up.

use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::Command;

/// Limit of the login shell that tells its PATH.
pub(super) const SHELL_LIMIT: Duration = Duration::from_secs(5);

/// Largest output of the login shell that is read, in bytes.
const SHELL_OUTPUT: u64 = 64 * 1024;

/// Line before the PATH in the output of the shell, because its start-up files may print as well.
const MARK: &str = "slipway-path:";

/// Returns the program's file; for a name without a slash, the first executable file of that name in `path`.
pub(super) fn find(program: &str, path: &OsStr) -> Option<PathBuf> {
    let is_program = |file: &Path| {
        file.metadata()
            .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    };
    if program.contains('/') {
        return Some(PathBuf::from(program)).filter(|file| is_program(file));
    }
    std::env::split_paths(path)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(program))
        .find(|file| is_program(file))
}

/// Returns the PATH of the user's login shell. A desktop starts programs with a shorter one than a terminal does.
pub(super) async fn of_login_shell() -> Option<OsString> {
    let shell = std::env::var_os("SHELL").filter(|shell| !shell.is_empty())?;
    told_by(&shell).await
}

async fn told_by(shell: &OsStr) -> Option<OsString> {
    // Its own login session: an interactive shell would take the terminal.
    let mut child = Command::new("setsid")
        .arg("--wait")
        .arg(shell)
        .args(["-ilc", &format!("echo {MARK}; printenv PATH")])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .ok()?;
    let mut lines = BufReader::new(child.stdout.take()?.take(SHELL_OUTPUT)).lines();
    // The output may stay open, because a start-up file may leave a program running.
    let told = async {
        while !lines.next_line().await.ok()??.ends_with(MARK) {}
        lines.next_line().await.ok()?
    };
    tokio::time::timeout(SHELL_LIMIT, told)
        .await
        .ok()?
        .map(OsString::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(folder: &Path, script: &str) -> PathBuf {
        let path = folder.join("shell");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[tokio::test]
    async fn a_login_shell_tells_its_path() {
        let folder = tempfile::tempdir().unwrap();
        // A start-up file that prints, with and without a line break at its end.
        let shell = shell(
            folder.path(),
            "echo Welcome; printf 'x '; PATH=$PATH:/opt/cloud; export PATH; eval \"$2\"",
        );
        let path = told_by(shell.as_os_str()).await.unwrap();
        assert!(path.to_str().unwrap().ends_with(":/opt/cloud"), "{path:?}");
    }

    #[tokio::test]
    async fn a_program_that_the_shell_leaves_delays_no_path() {
        let folder = tempfile::tempdir().unwrap();
        let shell = shell(folder.path(), "sleep 4 & eval \"$2\"");
        let begun = std::time::Instant::now();
        assert!(told_by(shell.as_os_str()).await.is_some());
        assert!(begun.elapsed() < Duration::from_secs(4));
    }

    #[tokio::test(start_paused = true)]
    async fn a_shell_that_hangs_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let shell = shell(folder.path(), "exec sleep 3");
        let begun = tokio::time::Instant::now();
        assert_eq!(told_by(shell.as_os_str()).await, None);
        assert_eq!(begun.elapsed(), SHELL_LIMIT);
    }

    #[test]
    fn only_programs_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, mode| {
            let path = folder.path().join(name);
            std::fs::write(&path, "").unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            path
        };
        let (program, _text) = (file("login", 0o755), file("text", 0o644));
        let path = std::env::join_paths(["relative".as_ref(), folder.path()]).unwrap();
        assert_eq!(find("login", &path), Some(program.clone()));
        assert_eq!(find(program.to_str().unwrap(), OsStr::new("")), Some(program));
        assert_eq!(find("text", &path), None);
        assert_eq!(find("absent", &path), None);
    }
}
