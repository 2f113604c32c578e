//! Packages that a machine needs; installed if root is available.

use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use crate::root;

/// Debian packages that builds and tests need in addition to Rust and Go. None of them runs a service.
const PACKAGES: &[&str] = &[
    "bind9-dnsutils",
    "build-essential",
    "curl",
    "dbus-daemon",
    "gnome-keyring",
    "iproute2",
    "iputils-ping",
    "libgtk-3-dev",
    "librsvg2-dev",
    "libwebkit2gtk-4.1-dev",
    "musl-tools",
    "nftables",
    "pkg-config",
    "python3",
    "xvfb",
];

/// Installs the missing packages. Without root it only prints them.
///
/// # Errors
///
/// When the installation fails.
pub(crate) fn ensure_packages() -> anyhow::Result<()> {
    let missing: Vec<&str> = PACKAGES
        .iter()
        .copied()
        .filter(|package| !is_installed(package))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    if !root::is() {
        crate::say(&format!(
            "Missing packages: {list}. Install them with: sudo apt-get install {list}"
        ));
        return Ok(());
    }
    crate::say(&format!("Installing {list}"));
    apt(&["update"])?;
    apt(&[&["install", "--yes", "--no-install-recommends"], &missing[..]].concat())
}

fn is_installed(package: &str) -> bool {
    let query = Command::new("dpkg-query")
        .args(["--show", "--showformat=${db:Status-Abbrev}", package])
        .stderr(Stdio::null())
        .output();
    query.is_ok_and(|output| output.stdout.starts_with(b"ii"))
}

fn apt(arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new("apt-get")
        .args(["--quiet", "--quiet"])
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .output()
        .context("Failed to start apt-get")?;
    ensure!(
        output.status.success(),
        "apt-get {} failed:\n{}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
