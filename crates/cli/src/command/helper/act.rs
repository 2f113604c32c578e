//! Carrying out a way to start or end the helper, with limits for the program and the person.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use slipway_helper_client::{Client, ClientError};
use slipway_problem::Fault;
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};

use super::error::NotDone;
use super::way::Way;
use crate::failure::{Failure, Uncoded};

/// How long the program may take that asks the person for a password.
const QUESTION_LIMIT: Duration = Duration::from_secs(300);
/// How long a started helper may take to answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);
/// Pause between two attempts to reach it.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Most bytes of what a program says that are kept.
const MOST_SAID: u64 = 4096;

/// Runs the program. It asks at the terminal itself; without one, what it says becomes part of the failure. `what` is what
/// it does with the helper, as a verb.
pub(super) async fn carry_out(way: &Way, what: &'static str, terminal: bool) -> Result<(), Failure> {
    let name = way
        .program
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let mut command = Command::new(&way.program);
    command
        .args(&way.arguments)
        // Passwords are read from /dev/tty. Standard input may hold what is meant for another program.
        .stdin(if terminal { Stdio::inherit() } else { Stdio::null() })
        .stdout(Stdio::null())
        .stderr(if terminal {
            Stdio::inherit()
        } else {
            Stdio::piped()
        })
        .kill_on_drop(true);
    let mut child = command.spawn().uncoded(format!("Failed to start {name}"))?;
    let stderr = child.stderr.take();
    let ended = async {
        let mut said = Vec::new();
        if let Some(stderr) = stderr {
            // A program that says more is not read further.
            stderr.take(MOST_SAID).read_to_end(&mut said).await?;
        }
        Ok::<(ExitStatus, Vec<u8>), std::io::Error>((child.wait().await?, said))
    };
    let (how, said) = match timeout(QUESTION_LIMIT, ended).await {
        Ok(ended) => {
            let (status, said) = ended.uncoded(format!("Failed to wait for {name}"))?;
            if status.success() {
                return Ok(());
            }
            (status.to_string(), last_line(&said))
        }
        Err(_) => (
            format!("nobody answered within {} s", QUESTION_LIMIT.as_secs()),
            String::new(),
        ),
    };
    Err(NotDone::Tool {
        tool: name,
        what,
        how,
        said,
    }
    .into())
}

/// Returns the last line of what a program said, after a colon; nothing if it said nothing.
fn last_line(said: &[u8]) -> String {
    let text = String::from_utf8_lossy(said);
    match text.lines().map(str::trim).rfind(|line| !line.is_empty()) {
        Some(line) => format!(": {line}"),
        None => String::new(),
    }
}

/// Waits until a started helper answers, and returns the connection.
pub(super) async fn answering(socket: &Path) -> Result<Client, Failure> {
    let deadline = Instant::now() + ANSWERS_WITHIN;
    loop {
        match Client::connect(socket).await {
            Ok(client) => return Ok(client),
            // It has begun to listen, or has not yet; or the one before it is about to end.
            Err(ClientError::NoHelper { .. } | ClientError::Gone(_)) if Instant::now() < deadline => {}
            Err(error) => return Err(error.problem().into()),
        }
        sleep(LOOK_AGAIN).await;
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::fs::{Permissions, read_to_string, set_permissions, write};
    use std::os::unix::fs::PermissionsExt;

    use slipway_control_api::HelperStart;

    use super::*;

    /// A program that writes down its arguments, and then does this.
    fn scripted(folder: &Path, does: &str) -> Way {
        let program = folder.join("sudo");
        let script = format!("#!/bin/sh\nprintf '%s\\n' \"$@\" > \"$0.arguments\"\n{does}\n");
        write(&program, script).unwrap();
        set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
        Way {
            with: HelperStart::Sudo,
            program,
            arguments: ["--", "/opt/a program", "--allow-uid", "1000; true"]
                .map(OsString::from)
                .into(),
        }
    }

    #[tokio::test]
    async fn arguments_arrive_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let way = scripted(folder.path(), "exit 0");
        carry_out(&way, "start", false).await.unwrap();
        let arguments = read_to_string(folder.path().join("sudo.arguments")).unwrap();
        assert_eq!(arguments, "--\n/opt/a program\n--allow-uid\n1000; true\n");
    }

    #[tokio::test]
    async fn a_refusal_says_what_the_program_said() {
        let folder = tempfile::tempdir().unwrap();
        let way = scripted(folder.path(), "echo 'sudo: a password is required' >&2; exit 1");
        let problem = carry_out(&way, "start", false).await.unwrap_err().into_problem();
        assert_eq!(problem.code, "helper-not-started");
        assert_eq!(
            problem.cause,
            "The program sudo did not start slipway-helper (exit status: 1): sudo: a password is required."
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_that_nobody_answers_ends() {
        let folder = tempfile::tempdir().unwrap();
        // The limit passes as soon as nothing else is to be done.
        let way = scripted(folder.path(), "exec sleep 600");
        let problem = carry_out(&way, "start", false).await.unwrap_err().into_problem();
        assert!(problem.cause.contains("nobody answered"), "{problem}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_helper_that_does_not_come_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let missing = answering(&folder.path().join("helper.sock")).await.unwrap_err();
        assert_eq!(missing.into_problem().code, "no-helper");
    }
}
