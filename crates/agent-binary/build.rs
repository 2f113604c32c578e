//! Builds the agent in a separate target folder, so that both builds keep their caches and do not wait for each other's
//! lock.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// Target triple. With an explicit one, `crt-static` applies to the agent and not to build scripts and macros.
const TARGET: &str = "x86_64-unknown-linux-gnu";

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let crates = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("..");
    for watched in [
        "agent/Cargo.toml",
        "agent/src",
        "key/Cargo.toml",
        "key/src",
        "tunnel/Cargo.toml",
        "tunnel/src",
        "../Cargo.lock",
    ] {
        println!("cargo::rerun-if-changed={}", crates.join(watched).display());
    }

    let folder = target_folder(&out)
        .ok_or("OUT_DIR is not in a target folder")?
        .join("agent");
    let mut cargo = Command::new(env::var("CARGO")?);
    cargo
        .args([
            "build",
            "--release",
            "--locked",
            "--bin",
            "slipway-agent",
            "--target",
            TARGET,
        ])
        .arg("--manifest-path")
        .arg(crates.join("agent/Cargo.toml"))
        .arg("--target-dir")
        .arg(&folder)
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        // The outer build sets these for its own profile and checker.
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env_remove("RUSTC_WRAPPER");
    let status = cargo.status()?;
    if !status.success() {
        return Err(format!("building the agent ended with {status}").into());
    }
    let built = folder.join(TARGET).join("release/slipway-agent");
    fs::copy(&built, out.join("slipway-agent"))?;
    Ok(())
}

/// Returns the target folder of `OUT_DIR`, which is `target/PROFILE/build/PACKAGE-HASH/out`.
fn target_folder(out: &Path) -> Option<&Path> {
    out.ancestors().nth(4)
}
