//! Builds of the workspace, always with the same features, so that nothing is built twice.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, ensure};

use crate::cache::InUse;
use crate::{folders, root};

/// Argument that makes cargo print JSON to standard output, and errors for people to standard error.
pub(crate) const MESSAGES: &str = "--message-format=json-render-diagnostics";

/// The released programs, and those that measure them.
const RELEASED: [&str; 5] = [
    "slipway",
    "slipway-helper",
    "slipway-desktop",
    "slipway-tray-driver",
    "slipway-load",
];

/// A built test program.
#[derive(Debug)]
pub(crate) struct TestBinary {
    /// The package that it tests.
    pub(crate) package: String,
    /// The target in the package: the library, a program, or a file of `tests/`.
    pub(crate) target: String,
    program: PathBuf,
    manifest: PathBuf,
}

/// Returns a cargo command whose target folder survives this checkout.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.args(arguments);
    root::give_up_for(&mut command);
    // The Cargo that runs xtask sets these. Build scripts that read them would run again, and everything that depends on
    // them would be built again, each time Cargo is called differently.
    for (name, _) in std::env::vars_os() {
        if name
            .to_str()
            .is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"))
        {
            command.env_remove(name);
        }
    }
    if let Ok(folder) = target_folder() {
        command.env("CARGO_TARGET_DIR", folder);
    }
    command
}

/// Builds every program, test and example. A part of the workspace would be built with other features of its
/// dependencies than the whole, so everything would be built twice.
pub(crate) fn everything() -> Command {
    cargo(&["build", "--workspace", "--all-targets", "--locked"])
}

/// Builds the released programs, and those that measure them, in release mode.
pub(crate) fn release() -> Command {
    let mut command = cargo(&["build", "--workspace", "--release", "--locked"]);
    for program in RELEASED {
        command.args(["--bin", program]);
    }
    command
}

/// Builds the test programs of the workspace, and records the artefacts that the build uses.
///
/// # Errors
///
/// When they cannot be built.
pub(crate) fn tests(in_use: &mut InUse) -> anyhow::Result<Vec<TestBinary>> {
    let mut binaries = Vec::new();
    let status = messages(
        cargo(&["test", "--workspace", "--no-run", "--locked", MESSAGES]),
        |message| {
            in_use.note(message);
            binaries.extend(test_binary(message));
        },
    )?;
    ensure!(status.success(), "the tests could not be built");
    Ok(binaries)
}

/// Runs cargo and passes on its JSON messages; its messages for people are shown as usual.
///
/// # Errors
///
/// When cargo cannot be started or its output is not JSON.
pub(crate) fn messages(
    mut cargo: Command,
    mut hear: impl FnMut(&serde_json::Value),
) -> anyhow::Result<ExitStatus> {
    let output = cargo
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("Failed to start cargo")?;
    let lines = output.stdout.split(|byte| *byte == b'\n');
    for line in lines.filter(|line| !line.is_empty()) {
        hear(&serde_json::from_slice(line).context("cargo printed a line that is not JSON")?);
    }
    Ok(output.status)
}

fn test_binary(message: &serde_json::Value) -> Option<TestBinary> {
    let is_test = message["profile"]["test"].as_bool()?;
    let program = message["executable"].as_str().filter(|_| is_test)?;
    let manifest = Path::new(message["manifest_path"].as_str()?);
    // `path+file:///checkout/crates/tunnel#slipway-tunnel@0.1.0`, or `...#0.1.0` where the folder has the name.
    let (path, name) = message["package_id"].as_str()?.split_once('#')?;
    let package = name
        .split_once('@')
        .map_or_else(|| path.rsplit('/').next().unwrap_or(path), |(name, _)| name);
    Some(TestBinary {
        package: package.to_owned(),
        target: message["target"]["name"].as_str()?.to_owned(),
        program: program.into(),
        manifest: manifest.into(),
    })
}

impl TestBinary {
    /// Returns the command that runs the test program as cargo would.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        let folder = self.manifest.parent().unwrap_or(Path::new("."));
        command
            .current_dir(folder)
            .env("CARGO_MANIFEST_DIR", folder)
            .env("CARGO_PKG_NAME", &self.package)
            .env("CARGO", env!("CARGO"));
        command
    }
}

/// Returns Cargo's target folder: `CARGO_TARGET_DIR`, else one beside the other caches.
pub(crate) fn target_folder() -> anyhow::Result<PathBuf> {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => Ok(std::path::absolute(folder)?),
        None => Ok(folders::cache()?.join("target")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_test_programs_are_run_as_tests() {
        let message = |test: bool, executable: &str| {
            serde_json::json!({
                "package_id": "path+file:///w/crates/tunnel#slipway-tunnel@0.1.0",
                "manifest_path": "/w/crates/tunnel/Cargo.toml",
                "target": {"name": "slipway_tunnel"},
                "profile": {"test": test},
                "executable": executable,
            })
        };
        let binary = test_binary(&message(true, "/t/slipway_tunnel-1")).expect("a test");
        assert_eq!(
            (binary.package.as_str(), binary.target.as_str()),
            ("slipway-tunnel", "slipway_tunnel")
        );
        assert!(test_binary(&message(false, "/t/slipway")).is_none());
        assert!(test_binary(&serde_json::json!({"reason": "build-finished"})).is_none());
    }
}
