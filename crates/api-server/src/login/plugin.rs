//! Credential plugins (`client.authentication.k8s.io`, KEP-541).

use std::ffi::OsString;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use rustls::sign::CertifiedKey;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::sync::watch;
use tokio::time::timeout;

use super::hosts::hosts;
use super::search_path;
use super::words::Words;
use super::{LoginError, LoginReport};
use crate::file::{Exec, InteractiveMode};
use crate::trust::identity;

/// Limit of one run; a person may have to log in with a browser or another device.
pub const PLUGIN_PATIENCE: Duration = Duration::from_secs(300);

/// Largest answer that is read, in bytes.
const MAX_ANSWER: u64 = 1024 * 1024;

/// Version of the interface for a kubeconfig that names none.
const VERSION: &str = "client.authentication.k8s.io/v1";

/// A plugin as the kubeconfig describes it.
#[derive(Clone, Debug)]
pub(crate) struct Plugin {
    exec: Exec,
    /// What the plugin may know about the cluster, if it should.
    cluster: Option<Value>,
    /// Whether it may use the terminal of this process.
    terminal: bool,
}

/// What a plugin answered.
pub(super) struct Answer {
    pub(super) token: Option<String>,
    pub(super) identity: Option<Arc<CertifiedKey>>,
    pub(super) expires: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExecCredential {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    status: Option<Status>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    client_certificate_data: Option<String>,
    #[serde(default)]
    client_key_data: Option<String>,
    #[serde(default)]
    expiration_timestamp: Option<String>,
}

/// Ends the processes of a plugin that is given up.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // The group may have ended by itself.
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

impl Plugin {
    pub(crate) fn new(exec: &Exec, cluster: Value, terminal: bool) -> Self {
        let informed = exec.provide_cluster_info == Some(true);
        Self {
            exec: exec.clone(),
            cluster: informed.then_some(cluster),
            terminal: terminal && exec.interactive_mode != Some(InteractiveMode::Never),
        }
    }

    /// Returns the command as the kubeconfig names it.
    pub(super) fn command(&self) -> &str {
        self.exec.command.as_deref().unwrap_or_default()
    }

    /// Returns the hosts in its arguments and variables.
    pub(super) fn hosts(&self) -> Vec<String> {
        let values = self.exec.env.iter().map(|variable| &variable.value);
        hosts(self.exec.args.iter().chain(values).map(AsRef::as_ref))
    }

    pub(super) fn failed(&self, detail: String) -> LoginError {
        LoginError::Plugin {
            plugin: self.command().to_owned(),
            detail,
            install_hint: None,
        }
    }

    /// Runs the plugin once. Lines that it writes for a person appear in the report, unless it has the terminal.
    ///
    /// As in kubectl, the run ends when the plugin has ended and its standard output is closed. Standard error may stay
    /// open, because a browser that the plugin starts inherits it; `words` gets it then.
    pub(super) async fn run(
        &self,
        report: &watch::Sender<LoginReport>,
        words: &mut Option<Words>,
    ) -> Result<Answer, LoginError> {
        let mut command = self.prepare().await?;
        let mut child = command
            .spawn()
            .map_err(|error| self.failed(format!("it cannot be started: {error}")))?;
        let mut group = Group(self.own_group(child.id()));
        let stdout = child.stdout.take();
        let mut said = child.stderr.take().map(Words::new);
        let ended = async { tokio::join!(read_answer(stdout), child.wait()) };
        let run = async {
            tokio::pin!(ended);
            let Some(said) = &mut said else { return ended.await };
            tokio::select! {
                result = &mut ended => result,
                () = said.follow(report) => ended.await,
            }
        };
        let Ok((answer, status)) = timeout(PLUGIN_PATIENCE, run).await else {
            return Err(self.failed(format!(
                "it did not finish within {} s",
                PLUGIN_PATIENCE.as_secs()
            )));
        };
        group.0 = None;
        let failed = |error: std::io::Error| self.failed(error.to_string());
        let (answer, status) = (answer.map_err(failed)?, status.map_err(failed)?);
        let lines = said.as_mut().map(Words::rest).unwrap_or_default();
        *words = said;
        if !status.success() {
            return Err(self.failed(last_words(&lines, status)));
        }
        self.parse(&answer)
    }

    fn own_group(&self, child: Option<u32>) -> Option<Pid> {
        let child = child.filter(|_| !self.terminal)?;
        i32::try_from(child).ok().map(Pid::from_raw)
    }

    async fn prepare(&self) -> Result<Command, LoginError> {
        let Some(name) = &self.exec.command else {
            return Err(self.failed("the kubeconfig names no command for it".to_owned()));
        };
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut shell_path: Option<OsString> = None;
        let mut program = search_path::find(name, &path);
        if program.is_none() && !name.contains('/') {
            shell_path = search_path::of_login_shell().await;
            program = shell_path.as_ref().and_then(|path| search_path::find(name, path));
        }
        let Some(program) = program else {
            let detail = if name.contains('/') {
                "there is no such program".to_owned()
            } else {
                let searched = shell_path.as_ref().unwrap_or(&path);
                format!("it is not in PATH, which is {}", searched.to_string_lossy())
            };
            return Err(LoginError::Plugin {
                plugin: name.clone(),
                detail,
                install_hint: self.exec.install_hint.clone(),
            });
        };
        let mut command = Command::new(program);
        if let Some(path) = shell_path {
            // What the plugin calls is found there too.
            command.env("PATH", path);
        }
        command
            .args(&self.exec.args)
            .envs(self.exec.env.iter().map(|one| (&one.name, &one.value)))
            .env("KUBERNETES_EXEC_INFO", self.request().to_string())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        if !self.terminal {
            command
                .stdin(Stdio::null())
                .stderr(Stdio::piped())
                .process_group(0);
        }
        Ok(command)
    }

    fn version(&self) -> &str {
        self.exec.api_version.as_deref().unwrap_or(VERSION)
    }

    fn request(&self) -> Value {
        let mut spec = json!({ "interactive": self.terminal });
        if let Some(cluster) = &self.cluster {
            spec["cluster"] = cluster.clone();
        }
        json!({ "apiVersion": self.version(), "kind": "ExecCredential", "spec": spec })
    }

    fn parse(&self, answer: &[u8]) -> Result<Answer, LoginError> {
        // client-go decodes the answer as YAML, of which JSON is a part. The text of the error might contain a token.
        let answer: ExecCredential = serde_saphyr::from_slice(answer)
            .map_err(|_| self.failed("its answer is not an ExecCredential".to_owned()))?;
        if answer.api_version != self.version() {
            return Err(self.failed(format!(
                "it answers in {:?}, but the kubeconfig asks for {:?}",
                answer.api_version,
                self.version()
            )));
        }
        let status = answer.status.unwrap_or_default();
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let token = given(status.token);
        let identity = match (
            given(status.client_certificate_data),
            given(status.client_key_data),
        ) {
            (Some(certificate), Some(key)) => Some(
                identity(certificate.as_bytes(), key.as_bytes())
                    .map_err(|error| self.failed(format!("its client certificate is not usable: {error}")))?,
            ),
            _ => None,
        };
        if token.is_none() && identity.is_none() {
            return Err(
                self.failed("its answer contains neither a token nor a client certificate".to_owned())
            );
        }
        let expires = given(status.expiration_timestamp).map(|text| {
            text.parse::<Timestamp>()
                .map_err(|_| self.failed(format!("its expirationTimestamp {text:?} is not a time")))
        });
        Ok(Answer {
            token,
            identity,
            expires: expires.transpose()?,
        })
    }
}

async fn read_answer(stdout: Option<impl AsyncRead + Unpin>) -> std::io::Result<Vec<u8>> {
    let mut answer = Vec::new();
    if let Some(stdout) = stdout {
        stdout.take(MAX_ANSWER).read_to_end(&mut answer).await?;
    }
    Ok(answer)
}

fn last_words(words: &[String], status: ExitStatus) -> String {
    if words.is_empty() {
        return status.to_string();
    }
    format!("{} ({status})", words.join(" "))
}
