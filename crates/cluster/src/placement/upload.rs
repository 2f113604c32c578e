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
use slipway_api_server::request::{Access, ApiError, ask};

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
mod tests;
