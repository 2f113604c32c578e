//! The `slipway` program, which the desktop runs to connect and to list contexts.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use slipway_control_api::{Problem, Progress, list};
use slipway_profile::ContextName;
use tokio::process::Command;
use tokio::time::timeout;

use crate::gl;
use crate::state::Target;

/// How long the contexts of a kubeconfig may take to read; the file may be on a network.
const LIST_LIMIT: Duration = Duration::from_secs(20);
/// Number of bytes that are read of the end of a failed program's output. Its failure, which may contain a whole Role,
/// is the last line.
const MAX_READ: u64 = 64 * 1024;
/// Environment variable with the path of another `slipway` program.
const OVERRIDE: &str = "SLIPWAY_BIN";

/// The `slipway` program.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
}

impl Program {
    /// Finds the program: `$SLIPWAY_BIN`, else the one beside this program, else the one on `PATH`.
    pub fn find() -> Self {
        if let Some(path) = std::env::var_os(OVERRIDE) {
            return Self::at(path);
        }
        let beside = std::env::current_exe()
            .ok()
            .map(|own| own.with_file_name("slipway"));
        Self::at(
            beside
                .filter(|path| path.is_file())
                .unwrap_or_else(|| "slipway".into()),
        )
    }

    /// The program at `path`.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Starts a session of `target` and waits until it is connected. The program runs in a separate login session and holds
    /// no pipe of this process, so it survives the end of the desktop. It continues if this future is dropped.
    ///
    /// # Errors
    /// The failure that the program reported.
    pub async fn connect(&self, target: &Target) -> Result<(), Problem> {
        let mut command = self.command();
        command.args(["connect", "--detach", "--json"]);
        match target {
            Target::Profile(name) => command.arg(name.as_str()),
            Target::Context(context) => command.arg("--context").arg(context.as_str()),
            Target::Other(_) => return Err(nothing_to_start(target)),
        };
        // A file, because a pipe breaks when the desktop ends before the program.
        let mut progress = tempfile::tempfile().map_err(|error| self.did_not_start(&error))?;
        let stdout = progress.try_clone().map_err(|error| self.did_not_start(&error))?;
        command.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::null());
        in_own_login_session(&mut command);
        let mut child = command.spawn().map_err(|error| self.did_not_start(&error))?;
        let status = child.wait().await.map_err(|error| self.did_not_start(&error))?;
        if status.success() {
            return Ok(());
        }
        Err(failure_in(&end_of(&mut progress)).unwrap_or_else(|| said_nothing(target, status)))
    }

    /// Lists the contexts of the kubeconfig.
    ///
    /// # Errors
    /// The reason if they could not be listed.
    pub async fn contexts(&self) -> Result<Vec<ContextName>, Problem> {
        let mut command = self.command();
        command
            .args(["list", "contexts", "--json"])
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let Ok(output) = timeout(LIST_LIMIT, command.output()).await else {
            return Err(cannot_list(&format!(
                "it took more than {} s",
                LIST_LIMIT.as_secs()
            )));
        };
        let output = output.map_err(|error| self.did_not_start(&error))?;
        if !output.status.success() {
            return Err(cannot_list(String::from_utf8_lossy(&output.stderr).trim()));
        }
        let listed: Vec<list::ContextInfo> =
            serde_json::from_slice(&output.stdout).map_err(|error| cannot_list(&error.to_string()))?;
        // A name that is not valid in a profile is not valid as an argument either.
        Ok(listed
            .into_iter()
            .filter_map(|context| context.name.parse().ok())
            .collect())
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        gl::leave_to(&mut command);
        command
    }

    fn did_not_start(&self, error: &io::Error) -> Problem {
        Problem::new(
            "program-not-started",
            format!("{} could not be started: {error}.", shown(&self.path)),
            "Install Slipway's command line, or put it on the PATH.",
        )
    }
}

#[expect(unsafe_code, reason = "setsid must run in the new process")]
fn in_own_login_session(command: &mut Command) {
    // SAFETY: between fork and exec only async-signal-safe calls are allowed (fork(2)); setsid is one
    // (signal-safety(7)), and converting its errno allocates nothing.
    unsafe {
        command.pre_exec(|| nix::unistd::setsid().map(drop).map_err(io::Error::from));
    }
}

/// Reads the end of a file. Its first line may be cut off.
fn end_of(file: &mut File) -> String {
    let mut bytes = Vec::new();
    let read = file.seek(SeekFrom::End(0)).and_then(|length| {
        file.seek(SeekFrom::Start(length.saturating_sub(MAX_READ)))?;
        file.take(MAX_READ).read_to_end(&mut bytes)
    });
    if let Err(error) = read {
        tracing::warn!(%error, "failed to read the output of slipway");
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Finds the failure among the events of `slipway connect --json`.
fn failure_in(events: &str) -> Option<Problem> {
    events
        .lines()
        .rev()
        .find_map(|line| match serde_json::from_str(line) {
            Ok(Progress::Failed(problem)) => Some(problem),
            Ok(Progress::Status(_)) | Err(_) => None,
        })
}

fn said_nothing(target: &Target, status: ExitStatus) -> Problem {
    Problem::new(
        "connect-failed",
        format!("Connecting {target} failed without a reason ({status})."),
        "To see more, run `slipway connect` in a terminal.",
    )
}

fn nothing_to_start(target: &Target) -> Problem {
    Problem::new(
        "nothing-to-start",
        format!("{target} is neither a profile nor a context."),
        "Save a profile with `slipway profiles create`.",
    )
}

fn cannot_list(why: &str) -> Problem {
    Problem::new(
        "contexts-not-listed",
        format!("The kubeconfig's contexts could not be listed: {why}."),
        "To see the error, run `slipway list contexts` in a terminal.",
    )
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use slipway_control_api::Action;

    use super::*;

    #[test]
    fn a_failure_is_read_as_it_was_written() {
        let yaml = "kind: Role\nrules:\n- {}\n";
        let problem = Problem::new(
            "forbidden",
            "You may not.",
            format!("Ask for this Role:\n\n{yaml}"),
        )
        .with_actions([Action::AskForRole { yaml: yaml.into() }]);
        let event = serde_json::to_string(&Progress::Failed(problem.clone())).unwrap();
        let written = format!("{{\"event\":\"of a newer version\"}}\n{event}\n");
        assert_eq!(failure_in(&written), Some(problem));
        assert_eq!(failure_in("Segmentation fault\n"), None);
    }

    #[test]
    fn a_long_progress_does_not_hide_the_failure() {
        let problem = Problem::new("x", "It broke.", "Mend it.");
        let event = serde_json::to_string(&Progress::Failed(problem.clone())).unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all("a line of progress\n".repeat(10_000).as_bytes())
            .unwrap();
        file.write_all(event.as_bytes()).unwrap();
        assert_eq!(failure_in(&end_of(&mut file)), Some(problem));
    }
}
