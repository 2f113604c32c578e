//! `cargo xtask test`: all checks and tests, with the duration of each step and a count at the end.

use std::env;
use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Instant, SystemTime};

use anyhow::Context;
use clap::Args;
use slipway_bed::{Bed, BedName, Unpacked};

use crate::build::TestBinary;
use crate::cache::{self, InUse};
use crate::{build, checkout, machine, root, say, toolbox};

/// Name of the bed for tests, beside a developer's own.
const BED: &str = "test";

/// The test programs that look at the bed as a whole (agents of all sessions, what is made in the cluster), and so run alone, in
/// this order: agents of `stays_up` live for a minute after their sessions.
const ALONE: [&str; 6] = [
    "least_privilege",
    "errors",
    "leaves_nothing",
    "stays_up",
    "bed",
    "down",
];

/// Which of the tests to run.
#[derive(Debug, Args)]
pub(crate) struct Test {
    /// Run only this package's tests, without the checks of style and dependencies
    #[arg(long, short)]
    package: Option<String>,
    /// Run only tests whose name contains this
    filter: Option<String>,
}

/// Numbers of test results.
#[derive(Debug, Default, PartialEq, Eq)]
struct Count {
    passed: usize,
    failed: usize,
    skipped: usize,
}

/// A step of the run, with its result.
struct Step {
    name: String,
    seconds: f32,
    count: Count,
}

pub(crate) fn run(arguments: &Test) -> anyhow::Result<ExitCode> {
    let begun = SystemTime::now();
    root::ask(
        "to install missing packages, and for the tests in network namespaces and on a Kubernetes in them; \
         without it these tests are skipped",
    )?;
    machine::ensure_packages()?;
    checkout::take_over()?;
    let mut steps = Vec::new();
    let mut in_use = InUse::default();
    let everything = arguments.package.is_none() && arguments.filter.is_none();
    if everything {
        steps.push(check("format", build::cargo(&["fmt", "--all", "--check"]))?);
        let lints = [
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            build::MESSAGES,
            "--",
            "-D",
            "warnings",
        ];
        steps.push(step("lints", || {
            build::messages(build::cargo(&lints), |message| in_use.note(message))
        })?);
        steps.push(check("documentation", documentation())?);
        let mut deny = Command::new(toolbox::cargo_deny()?);
        root::give_up_for(&mut deny);
        deny.args(["check", "bans", "licenses", "sources"]);
        steps.push(check("dependencies", deny)?);
    }
    steps.push(check("build", build::everything())?);
    let bed: BedName = BED.parse()?;
    // An incomplete bed of an earlier run would make this one fail.
    take_down(&bed)?;
    let mut binaries = build::tests(&mut in_use)?;
    if let Some(only) = &arguments.package {
        binaries.retain(|binary| binary.package == *only);
    }
    let unpacked = unpacked();
    let command = |binary: &TestBinary| -> anyhow::Result<Command> {
        let mut command = binary.command();
        command
            .arg("--show-output")
            .args(runs_ignored(&binary.package).then_some("--include-ignored"))
            .args(&arguments.filter)
            .env("SLIPWAY_BED", BED);
        if let Some(unpacked) = &unpacked {
            command
                .env("SLIPWAY_TEST_RESOLVED", &unpacked.resolved)
                .env("PATH", with_last(&unpacked.busybox)?);
        }
        Ok(command)
    };
    steps.extend(lanes(&bed, &binaries, &command)?);
    take_down(&bed)?;
    if everything {
        cache::keep_within_cap(begun, &in_use)?;
    }
    Ok(report(&steps))
}

/// Runs test programs in two lanes, because most of them wait most of the time: the first lane begins with those that need
/// no cluster, the second with those on the bed; those of [`ALONE`] follow. A lock gives each laptop to one test at a time.
fn lanes(
    bed: &BedName,
    binaries: &[TestBinary],
    command: &(dyn Fn(&TestBinary) -> anyhow::Result<Command> + Sync),
) -> anyhow::Result<Vec<Step>> {
    let (on_bed, others): (Vec<_>, Vec<_>) = binaries.iter().partition(|binary| needs_bed(&binary.package));
    let place = |binary: &TestBinary| ALONE.iter().position(|target| *target == binary.target);
    let (mut alone, together): (Vec<_>, Vec<_>) =
        on_bed.into_iter().partition(|binary| place(binary).is_some());
    alone.sort_by_key(|binary| place(binary));
    let bed_is_needed = root::is() && !(alone.is_empty() && together.is_empty());
    let [others, together, alone] = [others, together, alone].map(|queue| Mutex::new(queue.into_iter()));
    let (finished, steps) = mpsc::channel();
    let lane = |queue: &Mutex<std::vec::IntoIter<&TestBinary>>| {
        let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
        while let Some(binary) = next() {
            let name = format!("{} {}", binary.package, binary.target);
            let step = command(binary).and_then(|command| tests(&name, command));
            // Nobody receives any more after an error.
            let _ = finished.send(step);
        }
    };
    let (bed_is_up, until_bed_is_up) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let (lane, others, queue) = (&lane, &others, &together);
        let first = scope.spawn(move || {
            lane(others);
            // The sender is dropped when the bed is up.
            let _ = until_bed_is_up.recv();
            lane(queue);
        });
        if bed_is_needed {
            let _ = finished.send(Ok(bring_up(bed)));
        }
        drop(bed_is_up);
        lane(&together);
        // A panic of the first lane is passed on by the scope.
        let _ = first.join();
        lane(&alone);
    });
    drop(finished);
    steps.into_iter().collect()
}

fn needs_bed(package: &str) -> bool {
    [
        "slipway-bed",
        "slipway-carrier",
        "slipway-cluster",
        "slipway-cluster-tests",
    ]
    .contains(&package)
}

/// Whether this package's ignored tests can run: they need root, or programs that were installed before. The tests of
/// the capture check that themselves.
fn runs_ignored(package: &str) -> bool {
    match package {
        "slipway-capture" => false,
        "slipway-desktop" => true,
        _ => root::is(),
    }
}

/// Returns the unpacked programs of the bed, which other tests use too; `None` without root.
fn unpacked() -> Option<Unpacked> {
    if !root::is() {
        return None;
    }
    Unpacked::find()
        .inspect_err(|error| say(&format!("Some tests are skipped: {error:#}")))
        .ok()
}

/// Returns `PATH` with one more folder at its end.
fn with_last(folder: &Path) -> anyhow::Result<OsString> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain([folder.to_owned()]);
    env::join_paths(folders).context("PATH cannot be added to")
}

fn bring_up(bed: &BedName) -> Step {
    say("== bed");
    let begun = Instant::now();
    let up = Bed::up(bed, &mut crate::cluster::Progress::default());
    if let Err(error) = &up {
        say(&format!("{error:#}"));
    }
    Step {
        name: "bed".to_owned(),
        seconds: begun.elapsed().as_secs_f32(),
        count: Count::of(up.is_ok()),
    }
}

fn take_down(bed: &BedName) -> anyhow::Result<()> {
    if root::is() { Bed::down(bed) } else { Ok(()) }
}

/// Returns the command that checks the documentation, also of private items, for broken links and examples.
fn documentation() -> Command {
    let mut command = build::cargo(&[
        "doc",
        "--workspace",
        "--no-deps",
        "--document-private-items",
        "--locked",
    ]);
    // Public pages may link to private items, which are documented here.
    command.env("RUSTDOCFLAGS", "-D warnings -A rustdoc::private_intra_doc_links");
    command
}

/// Runs a step that passes or fails.
fn check(name: &str, mut command: Command) -> anyhow::Result<Step> {
    step(name, || {
        command
            .stdin(Stdio::null())
            .status()
            .with_context(|| format!("Failed to start {command:?}"))
    })
}

fn step(name: &str, run: impl FnOnce() -> anyhow::Result<ExitStatus>) -> anyhow::Result<Step> {
    say(&format!("== {name}"));
    let begun = Instant::now();
    let right = run()?.success();
    Ok(Step {
        name: name.to_owned(),
        seconds: begun.elapsed().as_secs_f32(),
        count: Count::of(right),
    })
}

/// Runs a test program, prints its output when it has ended, and counts its results.
fn tests(name: &str, mut command: Command) -> anyhow::Result<Step> {
    say(&format!("-- {name} begins"));
    let begun = Instant::now();
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("Failed to start {command:?}"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let mut count = Count::default();
    said.lines().for_each(|line| count.read(line));
    let errors = String::from_utf8_lossy(&output.stderr);
    say(&format!("== {name}\n{said}{errors}"));
    if !output.status.success() && count.failed == 0 {
        // A test ended its whole process.
        count.failed = 1;
    }
    Ok(Step {
        name: name.to_owned(),
        seconds: begun.elapsed().as_secs_f32(),
        count,
    })
}

impl Count {
    /// The count of a step that passes or fails.
    fn of(right: bool) -> Count {
        Count {
            passed: usize::from(right),
            failed: usize::from(!right),
            skipped: 0,
        }
    }

    /// Reads a line of a test runner: `test result: ok. 3 passed; 0 failed; ...`.
    fn read(&mut self, line: &str) {
        let Some(result) = line.strip_prefix("test result: ") else {
            return;
        };
        for part in result.split([';', '.']) {
            match part.trim().split_once(' ') {
                Some((number, "passed")) => self.passed += number.parse::<usize>().unwrap_or(0),
                Some((number, "failed")) => self.failed += number.parse::<usize>().unwrap_or(0),
                Some((number, "ignored")) => self.skipped += number.parse::<usize>().unwrap_or(0),
                Some(_) | None => {}
            }
        }
    }
}

fn report(steps: &[Step]) -> ExitCode {
    say("\n== duration of each step");
    let mut all = Count::default();
    for Step { name, seconds, count } in steps {
        let Count {
            passed,
            failed,
            skipped,
        } = count;
        say(&format!(
            "{seconds:7.1} s  {name:<44} {passed} passed, {failed} failed, {skipped} skipped"
        ));
        all.passed += passed;
        all.failed += failed;
        all.skipped += skipped;
    }
    say(&format!(
        "\n{} passed, {} failed, {} skipped",
        all.passed, all.failed, all.skipped
    ));
    if all.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_read_from_the_test_runner() {
        let mut count = Count::default();
        let lines = [
            "running 3 tests",
            "test a ... ok",
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.57s",
            "test result: FAILED. 2 passed; 4 failed; 0 ignored; 0 measured; 0 filtered out",
        ];
        lines.iter().for_each(|line| count.read(line));
        assert_eq!(
            count,
            Count {
                passed: 5,
                failed: 4,
                skipped: 1
            }
        );
    }
}
