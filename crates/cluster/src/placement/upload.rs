//! Upload of binary and key into the waiting pod, by one `pods/exec`.
//!
//! The pod's shell requests each part by a line (`have` or `want`, then `key`, then `ok`), and the laptop sends it only
//! then: `head` may read more bytes than it prints, and those would be lost for the next reader.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::Client;
use kube::api::{Api, AttachParams, AttachedProcess};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::manifest::{AGENT_CONTAINER, AGENT_FOLDER, AGENT_IN_IMAGE};
use super::{AgentPod, Placement, Progress, UploadError};
use crate::api::{Access, ApiError, ask};

/// Limit of a wait for progress.
const STALL_PATIENCE: Duration = Duration::from_secs(20);

/// Limit of the wait for an ended shell's status and error output.
const LAST_WORDS_PATIENCE: Duration = Duration::from_secs(2);

/// Number of bytes between two reports of progress.
const CHUNK: usize = 64 * 1024;

/// Largest part of the shell's output that is kept for an error, in bytes.
const WORDS: u64 = 2048;

/// Sends binary and key. Returns when the pod's shell has started the agent.
pub(super) async fn upload(
    client: &Client,
    agent: &AgentPod,
    placement: &Placement<'_>,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<(), UploadError> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &agent.namespace);
    let params = AttachParams::default()
        .container(AGENT_CONTAINER)
        .stdin(true)
        .max_stdin_buf_size(CHUNK);
    let command = ["sh".to_owned(), "-c".to_owned(), script(placement.binary.len())];
    // Over a WebSocket the request is a GET, and the verb is `get`.
    let access = Access::within(&agent.namespace, "get", "", "pods/exec");
    let mut process = ask(access, pods.exec(&agent.pod, command, &params))
        .await
        .map_err(UploadError::Api)?;

    let (Some(stdin), Some(stdout), Some(stderr)) = (process.stdin(), process.stdout(), process.stderr())
    else {
        return Err(UploadError::Api(ApiError::Broken {
            detail: "exec did not return its three streams".to_owned(),
        }));
    };
    let mut complaint = JoinSet::new();
    complaint.spawn(words(stderr));
    let mut talk = Talk {
        stdin,
        stdout: BufReader::new(stdout),
        sent: 0,
        total: placement.binary.len(),
    };
    match talk.through(placement, progress).await {
        Ok(()) => Ok(()),
        Err(Stop::Stalled) => Err(UploadError::Stalled {
            waited: STALL_PATIENCE,
            sent: talk.sent,
            total: talk.total,
        }),
        Err(Stop::Unexpected(said)) => Err(UploadError::Shell {
            exit_code: None,
            said,
        }),
        Err(Stop::Ended) => Err(last_words(process, complaint, talk.sent, talk.total).await),
    }
}

/// Returns the script of the pod's side. It writes each part to a temporary file and renames it, so that a cut
/// connection leaves no partial agent. At its end it also informs the container that no more data follows.
fn script(size: usize) -> String {
    format!(
        "umask 077\n\
         cd {AGENT_FOLDER} || exit\n\
         [ -p start ] || mkfifo start 2>/dev/null\n\
         echo here >start || exit\n\
         trap 'echo gone >start' EXIT\n\
         trap 'exit 1' HUP PIPE TERM\n\
         if [ -x {AGENT_IN_IMAGE} ]; then echo have\n\
         else\n\
         echo want\n\
         head -c {size} >agent.part || exit\n\
         [ \"$(wc -c <agent.part)\" -eq {size} ] || {{ echo 'the program arrived incomplete' >&2; exit 1; }}\n\
         chmod 700 agent.part && mv agent.part agent || exit\n\
         fi\n\
         echo key\n\
         read -r key || exit\n\
         printf %s \"$key\" >key || exit\n\
         trap - EXIT\n\
         echo go >start && echo ok\n"
    )
}

/// Laptop's side of the conversation.
struct Talk<W, R> {
    stdin: W,
    stdout: BufReader<R>,
    sent: usize,
    total: usize,
}

/// Reason for which the conversation stopped.
enum Stop {
    /// A stream ended.
    Ended,
    /// There was no progress for [`STALL_PATIENCE`].
    Stalled,
    /// The shell sent an unexpected line.
    Unexpected(String),
}

impl<W: AsyncWrite + Unpin, R: AsyncRead + Unpin> Talk<W, R> {
    async fn through(
        &mut self,
        placement: &Placement<'_>,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<(), Stop> {
        let asked = self.line().await?;
        match asked.as_str() {
            "have" => tracing::info!("the image contains its own agent"),
            "want" => self.send_binary(placement.binary, progress).await?,
            _ => return Err(Stop::Unexpected(asked)),
        }
        self.expect("key").await?;
        self.send(format!("{}\n", placement.key.to_hex()).as_bytes())
            .await?;
        self.expect("ok").await
    }

    async fn send_binary(
        &mut self,
        binary: &[u8],
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<(), Stop> {
        for chunk in binary.chunks(CHUNK) {
            progress(Progress::Uploading {
                sent: self.sent,
                total: self.total,
            });
            self.send(chunk).await?;
            self.sent += chunk.len();
        }
        progress(Progress::Uploading {
            sent: self.sent,
            total: self.total,
        });
        Ok(())
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        match timeout(STALL_PATIENCE, self.stdin.write_all(bytes)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Stop::Ended),
            Err(_) => Err(Stop::Stalled),
        }
    }

    async fn expect(&mut self, word: &str) -> Result<(), Stop> {
        let line = self.line().await?;
        if line == word {
            Ok(())
        } else {
            Err(Stop::Unexpected(line))
        }
    }

    async fn line(&mut self) -> Result<String, Stop> {
        let mut line = Vec::new();
        let mut bounded = (&mut self.stdout).take(WORDS);
        match timeout(STALL_PATIENCE, bounded.read_until(b'\n', &mut line)).await {
            Ok(Ok(_)) if line.is_empty() => Err(Stop::Ended),
            Ok(Ok(_)) => Ok(String::from_utf8_lossy(&line).trim().to_owned()),
            Ok(Err(_)) => Err(Stop::Ended),
            Err(_) => Err(Stop::Stalled),
        }
    }
}

/// Reads everything, so that a shell with much output does not block, and keeps the beginning.
async fn words(mut stream: impl AsyncRead + Unpin) -> String {
    let mut said = Vec::new();
    // Output before a read error is still useful.
    let _ = (&mut stream).take(WORDS).read_to_end(&mut said).await;
    let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    String::from_utf8_lossy(&said).trim().to_owned()
}

async fn last_words(
    mut process: AttachedProcess,
    mut complaint: JoinSet<String>,
    sent: usize,
    total: usize,
) -> UploadError {
    let status = match process.take_status() {
        Some(status) => timeout(LAST_WORDS_PATIENCE, status).await.ok().flatten(),
        None => None,
    };
    let said = match timeout(LAST_WORDS_PATIENCE, complaint.join_next()).await {
        Ok(Some(Ok(said))) => said,
        Ok(Some(Err(_)) | None) | Err(_) => String::new(),
    };
    let Some(status) = status.filter(|status| status.status.as_deref() == Some("Failure")) else {
        if said.is_empty() {
            return UploadError::CutOff { sent, total };
        }
        return UploadError::Shell {
            exit_code: None,
            said,
        };
    };
    let exit_code = exit_code(&status);
    UploadError::Shell {
        exit_code,
        said: if said.is_empty() {
            status.message.unwrap_or_default()
        } else {
            said
        },
    }
}

/// Reads the exit code from a failed exec's status (`k8s.io/client-go/tools/remotecommand`, cause `ExitCode`).
fn exit_code(status: &Status) -> Option<i32> {
    let causes = status.details.as_ref()?.causes.as_deref()?;
    let exit_code = causes
        .iter()
        .find(|cause| cause.reason.as_deref() == Some("ExitCode"))?;
    exit_code.message.as_deref()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Stdio;
    use std::sync::Mutex;

    use tokio::io::duplex;
    use tokio::process::{ChildStdin, ChildStdout, Command};

    use super::super::tests::placement;
    use super::*;
    use crate::placement::manifest;

    /// Shells that a pod may have.
    const SHELLS: &[&[&str]] = &[&["sh"], &["bash"], &["busybox", "sh"]];

    /// Replacement for the agent: prints its arguments and the key that it found.
    const AGENT: &str = "#!/bin/sh\necho \"$@\"; cat key; echo\n";

    fn run(shell: &[&str], script: &str, folder: &Path) -> Command {
        let mut command = Command::new(shell[0]);
        let here = script.replace(AGENT_FOLDER, folder.to_str().unwrap());
        command.args(&shell[1..]).arg("-c").arg(here);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    fn talk(command: &mut Command, total: usize) -> (Talk<ChildStdin, ChildStdout>, tokio::process::Child) {
        let mut child = command.spawn().unwrap();
        let (stdin, stdout) = (
            child.stdin.take().unwrap(),
            BufReader::new(child.stdout.take().unwrap()),
        );
        (
            Talk {
                stdin,
                stdout,
                sent: 0,
                total,
            },
            child,
        )
    }

    /// Returns the replacement padded to several chunks, so that a shell that reads ahead would swallow the key.
    fn agent() -> Vec<u8> {
        let mut agent = AGENT.as_bytes().to_vec();
        agent.extend(std::iter::repeat_n(b"#padding\n", 20_000).flatten());
        agent
    }

    #[tokio::test]
    #[ignore = "needs bash and busybox"]
    async fn the_container_becomes_the_agent_in_either_order() {
        let binary = agent();
        let placement = Placement {
            binary: &binary,
            ..placement()
        };
        for shell in SHELLS {
            for upload_first in [false, true] {
                let folder = tempfile::tempdir().unwrap();
                let mut container = run(shell, &manifest::script(&placement), folder.path());
                let mut upload = run(shell, &script(binary.len()), folder.path());
                let started = (!upload_first).then(|| container.spawn().unwrap());
                let (mut talk, mut child) = talk(&mut upload, binary.len());
                while upload_first && !folder.path().join("start").exists() {
                    tokio::task::yield_now().await;
                }
                let started = match started {
                    Some(started) => started,
                    None => container.spawn().unwrap(),
                };
                talk.through(&placement, &|_| ()).await.ok().unwrap();
                assert!(child.wait().await.unwrap().success());
                let output = timeout(STALL_PATIENCE, started.wait_with_output())
                    .await
                    .unwrap()
                    .unwrap();
                let here = folder.path().display();
                let expected = format!(
                    "serve --dir {here} --key-sha256 {} --port 7600 --grace 600\n{}\n",
                    placement.key.fingerprint(),
                    placement.key.to_hex()
                );
                assert_eq!(
                    String::from_utf8_lossy(&output.stdout),
                    expected,
                    "{shell:?}, {output:?}"
                );
            }
        }
    }

    #[tokio::test]
    #[ignore = "needs bash and busybox"]
    async fn a_cut_connection_leaves_no_agent_or_container() {
        for shell in SHELLS {
            let folder = tempfile::tempdir().unwrap();
            let mut container = run(shell, &manifest::script(&placement()), folder.path());
            let mut upload = run(shell, &script(1000), folder.path());
            let container = container.spawn().unwrap();
            let (mut talk, child) = talk(&mut upload, 1000);
            talk.expect("want").await.ok().unwrap();
            talk.send(&[0; 100]).await.ok().unwrap();
            drop(talk.stdin);
            let output = child.wait_with_output().await.unwrap();
            assert!(!output.status.success());
            assert_eq!(
                String::from_utf8_lossy(&output.stderr),
                "the program arrived incomplete\n"
            );
            let ended = timeout(STALL_PATIENCE, container.wait_with_output()).await;
            let ended = ended.unwrap().unwrap();
            assert!(!ended.status.success(), "{shell:?}");
            assert!(!folder.path().join("agent").exists());
            assert!(!folder.path().join("key").exists());
        }
    }

    #[tokio::test]
    async fn a_container_without_an_upload_ends_itself() {
        let folder = tempfile::tempdir().unwrap();
        let script = manifest::script(&placement());
        let begins = format!("timeout {} ", manifest::UPLOAD_BEGINS.as_secs());
        assert!(script.contains(&begins), "{script}");
        // The same script with a shorter wait.
        let mut container = run(&["sh"], &script.replace(&begins, "timeout 0.2 "), folder.path());
        let ended = timeout(STALL_PATIENCE, container.spawn().unwrap().wait_with_output()).await;
        assert!(!ended.unwrap().unwrap().status.success());
    }

    #[tokio::test]
    async fn progress_reaches_the_total() {
        let (laptop, mut pod) = duplex(1 << 20);
        let (reader, writer) = tokio::io::split(laptop);
        let mut talk = Talk {
            stdin: writer,
            stdout: BufReader::new(reader),
            sent: 0,
            total: 150_000,
        };
        let binary = vec![1; 150_000];
        let placement = Placement {
            binary: &binary,
            ..placement()
        };
        pod.write_all(b"want\nkey\nok\n").await.unwrap();
        let seen = Mutex::new(Vec::new());
        let progress = |progress| {
            let Progress::Uploading { sent, total } = progress else {
                panic!("{progress:?}")
            };
            assert_eq!(total, 150_000);
            seen.lock().unwrap().push(sent);
        };
        talk.through(&placement, &progress).await.ok().unwrap();
        assert_eq!(*seen.lock().unwrap(), [0, 65_536, 131_072, 150_000]);
    }

    #[tokio::test]
    async fn an_image_with_its_own_agent_gets_only_the_key() {
        let (laptop, mut pod) = duplex(1 << 20);
        let (reader, writer) = tokio::io::split(laptop);
        let mut talk = Talk {
            stdin: writer,
            stdout: BufReader::new(reader),
            sent: 0,
            total: 5,
        };
        pod.write_all(b"have\nkey\nok\n").await.unwrap();
        talk.through(&placement(), &|_| ()).await.ok().unwrap();
        drop(talk);
        let mut sent = String::new();
        pod.read_to_string(&mut sent).await.unwrap();
        assert_eq!(sent, format!("{}\n", placement().key.to_hex()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_stalled_transfer_is_given_up() {
        let (laptop, pod) = duplex(1024);
        let (reader, writer) = tokio::io::split(laptop);
        let mut talk = Talk {
            stdin: writer,
            stdout: BufReader::new(reader),
            sent: 0,
            total: 5,
        };
        let stopped = talk.through(&placement(), &|_| ()).await;
        assert!(matches!(stopped, Err(Stop::Stalled)));
        drop(pod);
    }

    #[test]
    fn the_exit_code_is_read_from_the_status() {
        let status = serde_json::from_value(serde_json::json!({
            "status": "Failure", "reason": "NonZeroExitCode", "message": "command terminated with exit code 28",
            "details": {"causes": [{"reason": "ExitCode", "message": "28"}]},
        }));
        assert_eq!(exit_code(&status.unwrap()), Some(28));
    }
}
