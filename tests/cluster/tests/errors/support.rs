//! Support for failing commands: checks of exit code, text, time and traces.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use slipway_cluster_tests::{Desk, program, until_within};

/// Limit of a failure without a wait, on a busy machine.
pub(crate) const AT_ONCE: Duration = Duration::from_secs(10);

/// Exit code of Slipway's own failures.
const OURS: i32 = 255;

/// Exit code of `timeout` when the time is over.
const TIMED_OUT: i32 = 124;

/// How long the cluster may take to remove deleted objects.
pub(crate) const COLLECTED: Duration = Duration::from_secs(30);

/// A `slipway` command with arguments and an environment.
pub(crate) struct Attempt<'a> {
    pub(crate) desk: &'a Desk<'a>,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
}

/// A failure of a command.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) cause: String,
    pub(crate) remedy: String,
    pub(crate) code: String,
    pub(crate) took: Duration,
}

impl<'a> Attempt<'a> {
    pub(crate) fn new(desk: &'a Desk<'a>, arguments: &[&str]) -> Attempt<'a> {
        Attempt {
            desk,
            arguments: arguments.iter().map(|word| (*word).to_owned()).collect(),
            environment: Vec::new(),
        }
    }

    /// `slipway connect` with a short grace of the agent.
    pub(crate) fn connect(desk: &'a Desk<'a>, arguments: &[&str]) -> Attempt<'a> {
        Attempt::new(desk, &[&["connect", "--agent-grace", "5"], arguments].concat())
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Attempt<'a> {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    fn run(&self, within: Duration) -> (Output, Duration) {
        let limit = within.as_secs().to_string();
        let slipway = program("slipway");
        let words: Vec<&str> = [limit.as_str(), slipway.to_str().unwrap()]
            .into_iter()
            .chain(self.arguments.iter().map(String::as_str))
            .collect();
        let mut command = self.desk.command("timeout", &words);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let begun = Instant::now();
        let output = command.output().unwrap();
        let took = begun.elapsed();
        assert_ne!(
            output.status.code(),
            Some(TIMED_OUT),
            "{:?} takes longer than {within:?}: {}",
            self.arguments,
            String::from_utf8_lossy(&output.stderr)
        );
        (output, took)
    }

    /// Runs the command, and checks that it fails within a time, prints cause, remedy and code, and leaves no session, file
    /// or agent.
    pub(crate) fn fails(&self, within: Duration) -> Failure {
        let desk = self.desk;
        let (files, agents) = (files(desk), agents(desk));
        let (output, took) = self.run(within);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(OURS), "{said}");
        let failure = Failure::read(&said, took);
        println!("{:?} after {took:.1?}:\n{said}", self.arguments);
        assert_eq!(desk.status(), Vec::<Value>::new(), "no session is left");
        // The key of an earlier session may be removed.
        let left: Vec<String> = self::files(desk).difference(&files).cloned().collect();
        assert!(left.is_empty(), "files are left: {left:?}");
        until_no_new_agent_is_left(desk, &agents);
        failure
    }

    /// Runs `slipway doctor --json`; `fails` is whether it must end as a failure.
    pub(crate) fn findings(&self, fails: bool) -> Findings {
        let (output, _took) = self.run(Duration::from_secs(40));
        let said = String::from_utf8_lossy(&output.stderr);
        let expected = if fails { OURS } else { 0 };
        let findings: Vec<Value> =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
        assert_eq!(output.status.code(), Some(expected), "{findings:#?}");
        Findings(findings)
    }
}

impl Failure {
    /// Parses the output: `slipway: CAUSE`, then the remedy, then `(CODE)`.
    fn read(said: &str, took: Duration) -> Failure {
        let (cause, rest) = said
            .strip_prefix("slipway: ")
            .and_then(|rest| rest.split_once('\n'))
            .unwrap_or_else(|| panic!("no cause comes first: {said}"));
        let (remedy, code) = rest.trim_end().rsplit_once('\n').unwrap_or(("", rest.trim_end()));
        let code = code
            .trim()
            .strip_prefix('(')
            .and_then(|code| code.strip_suffix(')'))
            .unwrap_or_else(|| panic!("no code comes last: {said}"));
        let remedy = remedy.trim();
        assert!(!remedy.is_empty(), "no remedy: {said}");
        for sentence in [cause, remedy] {
            assert!(
                sentence.ends_with(['.', ':']) || sentence.lines().count() > 1,
                "no sentence: {sentence}"
            );
        }
        Failure {
            cause: cause.to_owned(),
            remedy: remedy.to_owned(),
            code: code.to_owned(),
            took,
        }
    }

    /// Checks the code, and texts in the cause and the remedy.
    pub(crate) fn is(&self, code: &str, cause: &[&str], remedy: &[&str]) {
        assert_eq!(self.code, code, "{self:?}");
        for part in cause {
            assert!(
                self.cause.contains(part),
                "the cause does not name {part}: {self:?}"
            );
        }
        for part in remedy {
            assert!(
                self.remedy.contains(part),
                "the remedy does not name {part}: {self:?}"
            );
        }
    }
}

/// Findings of a doctor.
#[derive(Debug)]
pub(crate) struct Findings(Vec<Value>);

impl Findings {
    /// Returns the finding of a check with this verdict and code; its remedy must not be empty.
    pub(crate) fn one(&self, check: &str, verdict: &str, code: &str) -> &Value {
        let found = self
            .0
            .iter()
            .find(|finding| {
                finding["check"] == check && finding["verdict"] == verdict && finding["code"] == code
            })
            .unwrap_or_else(|| panic!("no {verdict} of {check} with {code}: {:#?}", self.0));
        assert!(!found["remedy"].as_str().unwrap().is_empty(), "{found}");
        found
    }

    /// Whether a check was made.
    pub(crate) fn has(&self, check: &str) -> bool {
        self.0.iter().any(|finding| finding["check"] == check)
    }

    /// Returns the results of a check, in words.
    pub(crate) fn details(&self, check: &str) -> Vec<&str> {
        let of_check = self.0.iter().filter(|finding| finding["check"] == check);
        of_check
            .map(|finding| finding["detail"].as_str().unwrap())
            .collect()
    }

    /// Returns the failed findings of a check.
    pub(crate) fn bad(&self, check: &str) -> Vec<&Value> {
        let of_check = self.0.iter().filter(|finding| finding["check"] == check);
        of_check.filter(|finding| finding["verdict"] == "fail").collect()
    }
}

/// Changes the cluster as its administrator.
pub(crate) fn apply(desk: &Desk<'_>, object: &Value) {
    apply_text(desk, &object.to_string());
}

/// The same, with an object from YAML.
pub(crate) fn apply_text(desk: &Desk<'_>, text: &str) {
    let mut command: Command = desk.bed.kubectl(["apply", "--filename=-"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Returns the agents' Jobs that the cluster has created, by its events.
pub(crate) fn jobs_made(desk: &Desk<'_>) -> usize {
    let events = desk.kubectl(&[
        "--namespace",
        "shop",
        "get",
        "events",
        "--field-selector=involvedObject.kind=Job,reason=SuccessfulCreate",
        "--output=name",
    ]);
    events.lines().count()
}

/// Returns the user's files, without folders, which may stay.
fn files(desk: &Desk<'_>) -> BTreeSet<String> {
    let places = ["/home/dev", "/run/user/2000", "/tmp"];
    let found = desk.as_root("find", &[&places[..], &["-not", "-type", "d"]].concat());
    found.lines().map(str::to_owned).collect()
}

/// Everything of agents in the cluster; those of earlier tests may wait for a client that went away.
fn agents(desk: &Desk<'_>) -> BTreeSet<String> {
    let listed = desk.kubectl(&[
        "get",
        "jobs,pods,secrets,configmaps,services",
        "--all-namespaces",
        "--selector=app.kubernetes.io/managed-by=slipway",
        "--output=name",
    ]);
    listed.lines().map(str::to_owned).collect()
}

fn until_no_new_agent_is_left(desk: &Desk<'_>, before: &BTreeSet<String>) {
    let mut left = BTreeSet::new();
    until_within(COLLECTED, "no agent of the attempt is left", || {
        left = agents(desk).difference(before).cloned().collect();
        left.is_empty()
    })
    .unwrap_or_else(|why| panic!("{why}: {left:?}"));
}
