//! Secrets on the standard output of a program.

use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use secrecy::zeroize::Zeroizing;
use slipway_profile::ProgramLine;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::time::timeout;

use crate::MAX_SECRET;
use crate::error::SecretError;

/// Limit of one run; a person may have to unlock a store of passwords.
pub(crate) const PROGRAM_PATIENCE: Duration = Duration::from_secs(60);

/// Largest part of standard error that is kept, in bytes.
const MAX_WORDS: usize = 1024;

/// Ends the processes of a program that is given up.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // The group may have ended by itself.
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

/// Runs the program once and returns what it prints.
pub(crate) async fn read(line: &ProgramLine) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    let failed = |detail: String| SecretError::Program {
        program: line.program().to_owned(),
        detail,
    };
    let mut child = Command::new(line.program())
        .args(line.arguments())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed(format!("it cannot be started: {error}")))?;
    let id = child.id().and_then(|id| i32::try_from(id).ok());
    let mut group = Group(id.map(Pid::from_raw));
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let run = async {
        tokio::join!(
            first(stdout, MAX_SECRET + 1),
            first(stderr, MAX_WORDS),
            child.wait()
        )
    };
    let Ok((secret, words, status)) = timeout(PROGRAM_PATIENCE, run).await else {
        return Err(failed(format!(
            "it did not finish within {} s",
            PROGRAM_PATIENCE.as_secs()
        )));
    };
    group.0 = None;
    let status = status.map_err(|error| failed(error.to_string()))?;
    if !status.success() {
        let words = String::from_utf8_lossy(&words).trim().to_owned();
        return Err(failed(match words.is_empty() {
            true => status.to_string(),
            false => format!("{words} ({status})"),
        }));
    }
    Ok(secret)
}

/// Reads a pipe to its end and returns its first `most` bytes. The rest is read too, because a program may wait for that.
async fn first(pipe: Option<impl AsyncRead + Unpin>, most: usize) -> Zeroizing<Vec<u8>> {
    let mut kept = Zeroizing::new(Vec::with_capacity(most));
    let mut part = Zeroizing::new([0; 4096]);
    if let Some(mut pipe) = pipe {
        // A pipe that breaks has ended.
        while let Ok(length @ 1..) = pipe.read(&mut *part).await {
            let room = most.saturating_sub(kept.len()).min(length);
            kept.extend_from_slice(part.get(..room).unwrap_or_default());
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn said(line: &str) -> Result<String, String> {
        let line = line.parse().unwrap();
        match read(&line).await {
            Ok(text) => Ok(String::from_utf8(text.to_vec()).unwrap()),
            Err(error) => Err(error.to_string()),
        }
    }

    #[tokio::test]
    async fn the_output_of_a_program_is_its_secret() {
        assert_eq!(said("printf '%s %s' 'a b' \"$HOME\"").await.unwrap(), "a b $HOME");
    }

    #[tokio::test]
    async fn a_failing_program_is_named_with_its_words() {
        let error = said("sh -c 'echo sesame; echo the store is locked >&2; exit 3'").await;
        assert_eq!(
            error.unwrap_err(),
            "the program sh failed: the store is locked (exit status: 3)"
        );
        let error = said("slipway-test-no-such-program").await.unwrap_err();
        assert!(
            error.contains("slipway-test-no-such-program failed: it cannot be started"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_program_that_hangs_is_given_up_with_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let alive = folder.path().join("alive");
        let line = format!("sh -c 'sleep 600 & echo $! > {}; wait'", alive.display());
        let asked = tokio::spawn(async move { said(&line).await });
        let child = loop {
            match std::fs::read_to_string(&alive).unwrap_or_default().trim().parse() {
                Ok(child) => break Pid::from_raw(child),
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        };
        tokio::time::pause();
        tokio::time::advance(PROGRAM_PATIENCE).await;
        let error = asked.await.unwrap().unwrap_err();
        assert_eq!(error, "the program sh failed: it did not finish within 60 s");
        tokio::time::resume();
        let state = |child: Pid| std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        for _ in 0..100 {
            let is_over = state(child)
                .rsplit(") ")
                .next()
                .is_none_or(|rest| rest.is_empty() || rest.starts_with('Z'));
            if is_over {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the child runs on: {}", state(child));
    }
}
