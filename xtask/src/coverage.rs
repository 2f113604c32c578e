//! `cargo xtask coverage -p PACKAGE`: lines of a package that its unit tests do not run.
//!
//! It needs the compiler's own LLVM tools: `rustup component add llvm-tools`.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use crate::{build, folders, say};

#[derive(clap::Args)]
pub(crate) struct Coverage {
    /// Package whose unit tests are run
    #[arg(short, long)]
    package: String,
}

/// Prints each line that no unit test ran, and the number of lines that ran. Tests themselves do not count.
pub(crate) fn run(arguments: &Coverage) -> anyhow::Result<ExitCode> {
    let folder = folders::cache()?.join("coverage");
    let program = instrumented(&arguments.package, &folder)?;
    let raw = folder.join("tests.profraw");
    let merged = folder.join("tests.profdata");
    checked(
        Command::new(&program)
            .arg("--quiet")
            .env("LLVM_PROFILE_FILE", &raw),
    )?;
    checked(
        Command::new(tool("llvm-profdata")?)
            .args(["merge", "-sparse", "-o"])
            .args([&merged, &raw]),
    )?;
    let exported = Command::new(tool("llvm-cov")?)
        .args([
            "export",
            "--format=lcov",
            "--ignore-filename-regex=/tests(/|\\.rs)",
        ])
        .arg("--instr-profile")
        .args([&merged, &program])
        .arg("--sources")
        .arg(sources(&arguments.package)?)
        .output()
        .context("Failed to start llvm-cov")?;
    ensure!(exported.status.success(), "llvm-cov failed");
    let (untaken, all) = count(&String::from_utf8_lossy(&exported.stdout));
    untaken.iter().for_each(|line| say(line));
    say(&format!("{} of {all} lines were run", all - untaken.len()));
    Ok(ExitCode::SUCCESS)
}

/// Returns the lines that never ran, and the number of all lines, of a file in lcov's format: `SF:FILE`, then
/// `DA:LINE,COUNT` for each line (geninfo(1)).
fn count(lcov: &str) -> (Vec<String>, usize) {
    let mut file = "";
    let mut untaken = Vec::new();
    let mut all = 0;
    for record in lcov.lines() {
        match record.split_once(':') {
            Some(("SF", path)) => file = path,
            Some(("DA", run)) => {
                all += 1;
                if let Some((line, "0")) = run.split_once(',') {
                    untaken.push(format!("{file}:{line}"));
                }
            }
            _ => {}
        }
    }
    (untaken, all)
}

/// Builds the unit tests with counters, and everything that they depend on, in a separate target folder.
fn instrumented(package: &str, folder: &Path) -> anyhow::Result<PathBuf> {
    let built = build::cargo(&["test", "--package", package, "--lib", "--no-run", build::MESSAGES])
        .env("CARGO_TARGET_DIR", folder)
        .env("RUSTFLAGS", "-Cinstrument-coverage")
        // Build scripts have counters as well, and would write them to each package's folder.
        .env("LLVM_PROFILE_FILE", folder.join("build-%p.profraw"))
        .stderr(std::process::Stdio::inherit())
        .output()
        .context("Failed to start cargo")?;
    ensure!(built.status.success(), "the tests could not be built");
    let messages = String::from_utf8_lossy(&built.stdout).into_owned();
    let program = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["profile"]["test"] == true)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from));
    program.context("cargo built no test program")
}

fn sources(package: &str) -> anyhow::Result<PathBuf> {
    let name = package.strip_prefix("slipway-").unwrap_or(package);
    let folder = crate::checkout::root()?.join("crates").join(name).join("src");
    ensure!(folder.is_dir(), "there is no {}", folder.display());
    Ok(folder)
}

/// Returns the path of a tool of the compiler's own LLVM.
fn tool(name: &str) -> anyhow::Result<PathBuf> {
    let output = Command::new("rustc")
        .args(["--print", "target-libdir"])
        .output()
        .context("Failed to start rustc")?;
    let libraries = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    let tool = libraries.with_file_name("bin").join(name);
    if !tool.is_file() {
        bail!("{name} is not installed. Run `rustup component add llvm-tools`");
    }
    Ok(tool)
}

fn checked(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().context("Failed to start a program")?;
    ensure!(status.success(), "{command:?} failed");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_never_ran_are_listed() {
        let lcov = "SF:a.rs\nFN:1,f\nDA:1,4\nDA:2,0\nend_of_record\nSF:b.rs\nDA:7,0\n";
        let (untaken, all) = count(lcov);
        assert_eq!(
            (untaken, all),
            (vec!["a.rs:2".to_owned(), "b.rs:7".to_owned()], 3)
        );
    }
}
