//! The `slipway` program: what the desktop has it do.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use slipway_control::Problem;
use slipway_profile::Context;
use tokio::process::Command;
use tokio::time::timeout;

use crate::picture::Target;

/// How long the contexts of a kubeconfig may take to read; some lie on a network.
const LIST_LIMIT: Duration = Duration::from_secs(20);
/// The most that is read of what a failed program wrote.
const MAX_STDERR: u64 = 16 * 1024;
/// Names another program than the one beside this one.
const OVERRIDE: &str = "SLIPWAY_BIN";

/// The `slipway` program.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
}

impl Program {
    /// The program that belongs to this one: `$SLIPWAY_BIN`, else the one beside it, else the one on `PATH`.
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

    /// Starts a session of `target` and waits until the program says that it runs. The program lives in a
    /// login session of its own and holds nothing of ours: what ends the desktop does not reach it, and
    /// dropping this future lets it go on.
    ///
    /// # Errors
    /// What the program said, if it failed.
    pub async fn connect(&self, target: &Target) -> Result<(), Problem> {
        let mut command = Command::new(&self.path);
        command.args(["connect", "--detach"]);
        match target {
            Target::Profile(name) => command.arg("--profile").arg(name.as_str()),
            Target::Context(context) => command.arg("--context").arg(context.as_str()),
            Target::Other(_) => return Err(nothing_to_start(target)),
        };
        // A file, not a pipe: a session that outlives the desktop must be able to write on.
        let mut said = tempfile::tempfile().map_err(|error| self.did_not_start(&error))?;
        let stderr = said.try_clone().map_err(|error| self.did_not_start(&error))?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
        in_own_login_session(&mut command);
        let mut child = command.spawn().map_err(|error| self.did_not_start(&error))?;
        let status = child.wait().await.map_err(|error| self.did_not_start(&error))?;
        if status.success() {
            return Ok(());
        }
        Err(problem_in(&read_bounded(&mut said), target))
    }

    /// The contexts of the kubeconfig.
    ///
    /// # Errors
    /// Why they could not be listed.
    pub async fn contexts(&self) -> Result<Vec<Context>, Problem> {
        let mut command = Command::new(&self.path);
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
        let listed: Vec<ListedContext> =
            serde_json::from_slice(&output.stdout).map_err(|error| cannot_list(&error.to_string()))?;
        Ok(listed.into_iter().map(|context| context.name).collect())
    }

    fn did_not_start(&self, error: &io::Error) -> Problem {
        Problem::new(
            "program-not-started",
            format!("{} could not be started: {error}.", shown(&self.path)),
            "Install Slipway's command line, or put it on the PATH.",
        )
    }
}

/// One of `slipway list contexts --json`.
#[derive(Deserialize)]
struct ListedContext {
    name: Context,
}

#[expect(
    unsafe_code,
    reason = "only the new process itself can leave its login session"
)]
fn in_own_login_session(command: &mut Command) {
    // SAFETY: between fork and exec only async-signal-safe calls are allowed (fork(2)); setsid is one
    // (signal-safety(7)), and converting its errno allocates nothing.
    unsafe {
        command.pre_exec(|| nix::unistd::setsid().map(drop).map_err(io::Error::from));
    }
}

fn read_bounded(file: &mut File) -> String {
    let mut bytes = Vec::new();
    let _ = file
        .rewind()
        .and_then(|()| file.take(MAX_STDERR).read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The problem in what a failed program wrote: as data if it wrote data, else its own words.
fn problem_in(said: &str, target: &Target) -> Problem {
    if let Some(problem) = said
        .lines()
        .rev()
        .find_map(|line| serde_json::from_str(line.trim()).ok())
    {
        return problem;
    }
    let mut lines = said.lines().map(str::trim).filter(|line| !line.is_empty());
    let cause = match lines.next() {
        Some(line) => line.strip_prefix("error:").unwrap_or(line).trim().to_owned(),
        None => format!("Connecting {target} failed without a word."),
    };
    let remedy: Vec<_> = lines
        .map(|line| line.strip_prefix("remedy:").unwrap_or(line).trim())
        .collect();
    let remedy = match remedy.join(" ") {
        none if none.is_empty() => "Connect in a terminal to see more: `slipway connect`.".into(),
        remedy => remedy,
    };
    Problem::new("connect-failed", cause, remedy)
}

fn nothing_to_start(target: &Target) -> Problem {
    Problem::new(
        "nothing-to-start",
        format!("{target} is neither a profile nor a context."),
        "Save a profile.",
    )
}

fn cannot_list(why: &str) -> Problem {
    Problem::new(
        "contexts-not-listed",
        format!("The kubeconfig's contexts could not be listed: {why}."),
        "See what `slipway list contexts` says.",
    )
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> Target {
        Target::Profile("shop".parse().unwrap())
    }

    #[test]
    fn a_problem_that_comes_as_data_is_taken_as_it_is() {
        let said = "connecting...\n{\"code\":\"rbac\",\"cause\":\"No.\",\"remedy\":\"Ask.\"}\n";
        assert_eq!(problem_in(said, &target()), Problem::new("rbac", "No.", "Ask."));
    }

    #[test]
    fn words_are_taken_as_cause_and_remedy() {
        let problem = problem_in("error: no such context\n  remedy: look at kubectl\n", &target());
        assert_eq!(
            (problem.cause.as_str(), problem.remedy.as_str()),
            ("no such context", "look at kubectl")
        );
        assert!(problem_in("", &target()).cause.contains("shop"));
    }
}
