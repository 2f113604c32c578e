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

use crate::gl;
use crate::picture::Target;

/// How long the contexts of a kubeconfig may take to read; some lie on a network.
const LIST_LIMIT: Duration = Duration::from_secs(20);
/// The most that is read of what a failed program wrote.
const MAX_STDERR: u64 = 16 * 1024;
/// What `slipway` begins its complaints with.
const SAYS: &str = "slipway: ";
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
        let mut command = self.command();
        command.args(["connect", "--detach"]);
        match target {
            Target::Profile(name) => command.arg(name.as_str()),
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
        let listed: Vec<ListedContext> =
            serde_json::from_slice(&output.stdout).map_err(|error| cannot_list(&error.to_string()))?;
        Ok(listed.into_iter().map(|context| context.name).collect())
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

/// The problem in what a failed `slipway` wrote: the cause, the remedy below it, the code in brackets at the
/// end.
fn problem_in(said: &str, target: &Target) -> Problem {
    let mut lines: Vec<_> = said
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let code = lines
        .last()
        .and_then(|line| line.strip_prefix('(')?.strip_suffix(')'))
        .map(str::to_owned);
    if code.is_some() {
        lines.pop();
    }
    // What comes before is the log, if any.
    let first = lines.iter().rposition(|line| line.starts_with(SAYS)).unwrap_or(0);
    let (cause, remedy) = match lines.get(first..).and_then(<[_]>::split_first) {
        Some((cause, remedy)) => (
            cause.strip_prefix(SAYS).unwrap_or(cause).to_owned(),
            remedy.join(" "),
        ),
        None => (
            format!("Connecting {target} failed without a word."),
            String::new(),
        ),
    };
    let remedy = match remedy.as_str() {
        "" => "Connect in a terminal to see more: `slipway connect`.".into(),
        _ => remedy,
    };
    Problem::new(code.unwrap_or_else(|| "connect-failed".into()), cause, remedy)
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
    fn what_slipway_says_is_taken_as_cause_remedy_and_code() {
        let said = "INFO asking\nslipway: You may not.\n  Ask for this Role:\n  kind: Role\n  (rbac-pods)\n";
        let expected = Problem::new("rbac-pods", "You may not.", "Ask for this Role: kind: Role");
        assert_eq!(problem_in(said, &target()), expected);
    }

    #[test]
    fn a_program_that_says_less_is_still_a_problem() {
        let problem = problem_in("slipway: no such context\n", &target());
        assert_eq!(
            (problem.code.as_str(), problem.cause.as_str()),
            ("connect-failed", "No such context.")
        );
        assert!(problem_in("", &target()).cause.contains("shop"));
        assert_eq!(
            problem_in("Segmentation fault\n", &target()).cause,
            "Segmentation fault."
        );
    }
}
